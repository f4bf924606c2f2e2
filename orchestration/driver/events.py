"""Who hears the scheduler: ledger, records, MLflow, webhook and the person who looks on.

A driver that lost its lease to another one writes nothing any more: its cells and its ledger are the other's.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestration.cluster import preflight
from orchestration.disk import Patience
from orchestration.driver.webhook import notify
from orchestration.grid import metrics
from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import Failure
from orchestration.grid.states import CellState
from orchestration.ledger import status
from orchestration.ledger.lease import LeaseRenewal
from orchestration.ledger.ledger import Command, Ledger
from orchestration.scheduling.executor import Ended, Work
from orchestration.tracking.sync import TrackingSync

log = logging.getLogger(__name__)


class View(Protocol):
    """Whoever shows a running grid."""

    def show(self, rows: Sequence[status.StatusRow], headline: str) -> None:
        """Draw the cells as they are now; called about once a second."""
        ...

    def say(self, message: str) -> None:
        """One line."""
        ...


@dataclass
class GridEvents:
    """The scheduler's listener: ledger, records, MLflow and the view hear of every move."""

    grid: GridConfig
    planned: dict[str, PlannedCell]
    ledger: Ledger
    lease: LeaseRenewal
    mirror: TrackingSync
    view: View
    webhook: str | None = None
    patience: Patience = field(default_factory=lambda: Patience(log.warning))
    shown_at: float = 0.0
    paused_for: str | None = None
    told_lost: bool = False

    @property
    def lost(self) -> bool:
        """Whether another driver has the grid: this one writes nothing any more."""
        return self.lease.lost

    def moved(self, work: Work, state: str, attempt: int, ended: Ended | None) -> None:
        """Note it in the ledger, and in the cell's folder where it failed."""
        planned = self.planned[work.name]
        fault = ended.fault if ended else None
        if self.lost:
            return self._say(work.name, state, ended)
        facts: dict[str, Any] = {"attempt": attempt, "folder": str(planned.folder)}
        facts |= {"fault": fault.kind if fault else None, "reason": fault.reason if fault else None}
        if ended is not None:
            facts |= {"seconds": ended.seconds, "node": ended.node}
        if state == "running":
            facts["started"] = time.time()
            self.mirror.began(planned)
        self.patience(lambda: self.ledger.note(work.name, state, **facts))
        metrics.show_state(work.name, state)
        if fault is not None and state in (CellState.FAILED, CellState.STOPPED):
            failure = Failure(fault.kind, fault.reason, attempt, time.time())
            self.patience(lambda: planned.record.write_failure(failure))
        if fault is not None and state == CellState.FAILED:
            told = {"grid": self.grid.name, "cell": work.name, "fault": fault.kind, "reason": fault.reason}
            notify(self.webhook, "cell failed", told)
        if state in (CellState.DONE, CellState.FAILED, CellState.STOPPED):
            self.patience(lambda: self.mirror.ended(planned, state))
        self._say(work.name, state, ended)

    def paused(self, reason: str | None) -> None:
        """Tell it and note it for other shells."""
        if self.lost:
            return
        self.paused_for = reason
        self.patience(lambda: self.ledger.set_fact("paused", reason))
        self.view.say(f"no new cells: {reason}" if reason else "cells start again")

    def wishes(self) -> Sequence[Command]:
        """Show the table, and hand over what other shells asked for; a driver that lost its lease leaves the grid."""
        if self.lost:
            if self.told_lost:
                return []
            self.told_lost = True
            self.view.say("another driver took the lease; leaving the grid to it")
            return [Command("cancel", None, None)]
        now = time.monotonic()
        if now - self.shown_at > 0.9:
            self.shown_at = now
            self.patience(self.show)
        return self.patience(self.ledger.take_commands)

    def may_start(self) -> str | None:
        """A full disk spoils running cells too: start none while there is too little room."""
        free = preflight.free_gib(self.grid.root)
        if free < self.grid.policy.free_gib:
            return f"{self.grid.root} has {free:.1f} GiB free, policy.free_gib is {self.grid.policy.free_gib:g}"
        return None

    def show(self) -> None:
        """Draw the table."""
        rows = status.rows(list(self.planned.values()), self.ledger.entries())
        self.view.show(rows, status.counts(rows) + (f"; paused: {self.paused_for}" if self.paused_for else ""))

    def _say(self, name: str, state: str, ended: Ended | None) -> None:
        fault = ended.fault if ended else None
        reason = f" ({fault.kind}: {fault.reason})" if fault else ""
        took = f" after {status.span(ended.seconds)}" if ended and ended.seconds else ""
        self.view.say(f"{name}: {state}{took}{reason}")
