"""States of a cell (in a plan, in a running grid, during an attempt), and the status of its MLflow run."""

from enum import StrEnum


class PlanState(StrEnum):
    """State of a cell in a plan, from its folder."""

    DONE = "done"
    RESCORE = "re-score"
    RESUMABLE = "resumable"
    FAILED = "failed"
    CHANGED = "changed"
    DUE = "due"
    NO_DATA = "no data"


TO_TRAIN = frozenset({PlanState.RESUMABLE, PlanState.FAILED, PlanState.CHANGED, PlanState.DUE})
"""States of cells that `grid run` trains."""


class CellState(StrEnum):
    """State of a cell in a running grid."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    UNTRAINED = "untrained"
    """Skipped by `grid evaluate`: there is no result to score again."""


UNDER_WAY = frozenset({CellState.PENDING, CellState.RUNNING, CellState.WAITING})
"""States of cells that the driver still works on: an earlier result does not count yet."""


class Phase(StrEnum):
    """What a running attempt does, as its progress file says."""

    STARTING = "starting"
    TRAINING = "training"
    SCORING = "scoring"


ShownState = PlanState | CellState | Phase
"""What `grid status` shows of a cell."""


class RunStatus(StrEnum):
    """Status of an MLflow run that has ended, in MLflow's own words."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
