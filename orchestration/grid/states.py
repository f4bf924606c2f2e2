"""The states of a cell: what a plan says of it, and where it stands in a running grid."""

from enum import StrEnum


class PlanState(StrEnum):
    """What a plan found in a cell's folder."""

    DONE = "done"
    RESCORE = "re-score"
    RESUMABLE = "resumable"
    FAILED = "failed"
    CHANGED = "changed"
    DUE = "due"
    NO_DATA = "no data"


TO_TRAIN = frozenset({PlanState.RESUMABLE, PlanState.FAILED, PlanState.CHANGED, PlanState.DUE})
"""States of cells that a run trains."""


class CellState(StrEnum):
    """Where a cell stands in a running grid."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    UNTRAINED = "untrained"
    """Left alone by `grid evaluate`: there is no result to score again."""
