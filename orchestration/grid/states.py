"""States of a cell: in a plan, and in a running grid."""

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
