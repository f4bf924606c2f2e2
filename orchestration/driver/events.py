"""Forward scheduler events to the ledger, cell records, MLflow, webhook and terminal.

A driver that lost its lease writes nothing more: another driver owns the cells and the ledger.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import Fault
from orchestration.cluster import preflight
from orchestration.disk import do_nothing, retry_while_disk_full
from orchestration.driver.webhook import notify
from orchestration.grid import metrics
from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import Failure
from orchestration.grid.states import CellState
from orchestration.ledger import status
from orchestration.ledger.lease import LeaseRenewal
from orchestration.ledger.ledger import Command, Ledger
from orchestration.tracking.sync import TrackingSync

T = TypeVar("T")

TABLE_S = 0.9
"""Seconds between two updates of the table of cells."""


class View(Protocol):
    """Show a running grid to a person."""

    def show(self, rows: Sequence[status.StatusRow], headline: str) -> None:
        """Draw the table of cells; called about once a second."""
        ...

    def say(self, message: str) -> None:
        """Print one line."""
        ...


@dataclass
class GridEvents:
    """The scheduler's listener: pass every event to the ledger, the records, MLflow and the view.

    Args:
        grid: the grid that runs.
        planned: its cells by name.
        ledger: where states are written.
        lease: the driver's lease.
        tracking: MLflow.
        view: the terminal.
        webhook: a URL that is notified when a cell fails.
        meanwhile: called while a write waits for disk space, e.g. to write the driver's heartbeat.
    """

    grid: GridConfig
    planned: dict[str, PlannedCell]
    ledger: Ledger
    lease: LeaseRenewal
    tracking: TrackingSync
    view: View
    webhook: str | None = None
    meanwhile: Callable[[], None] = do_nothing
    shown_at: float = 0.0
    paused_for: str | None = None
    reported_lost: bool = False

    @property
    def lost(self) -> bool:
        """Whether another driver has the lease, so that this one must write nothing more."""
        return self.lease.lost

    def write(self, write: Callable[[], T]) -> T:
        """Run a write, and repeat it while the disk is full."""
        return retry_while_disk_full(write, self.view.say, self.meanwhile)

    def moved(self, attempt: Attempt, state: CellState, result: AttemptResult | None) -> None:
        """Record a cell's new state in the ledger, in MLflow, and, for a failed cell, in its folder."""
        name, planned = attempt.name, self.planned[attempt.name]
        fault = result.fault if result else None
        if self.lost:
            return self._say(name, state, result)
        facts: dict[str, Any] = {"attempt": attempt.number, "folder": str(planned.folder)}
        facts |= {"fault": fault.kind if fault else None, "reason": fault.reason if fault else None}
        if result is not None:
            facts |= {"seconds": result.seconds, "node": result.node}
        if state == CellState.RUNNING:
            facts["started"] = time.time()
            self.tracking.began(planned)
        self.write(lambda: self.ledger.note(name, state, **facts))
        metrics.show_state(name, state)
        if fault is not None:
            self._record_fault(planned, state, attempt, fault)
        if state in (CellState.DONE, CellState.FAILED, CellState.STOPPED):
            self.write(lambda: self.tracking.ended(planned, state))
        self._say(name, state, result)

    def paused(self, reason: str | None) -> None:
        """Print why no new cells start, and write it to the ledger for other shells."""
        if self.lost:
            return
        self.paused_for = reason
        self.write(lambda: self.ledger.set_fact("paused", reason))
        self.view.say(f"no new cells: {reason}" if reason else "cells start again")

    def commands(self) -> Sequence[Command]:
        """Update the table, and return the commands of other shells; cancel everything when the lease is lost."""
        if self.lost:
            if self.reported_lost:
                return []
            self.reported_lost = True
            self.view.say("another driver took the lease; this driver stops its cells and leaves the grid to it")
            return [Command("cancel", None, None)]
        now = time.monotonic()
        if now - self.shown_at > TABLE_S:
            self.shown_at = now
            self.write(self.show)
        return self.write(self.ledger.take_commands)

    def may_start(self) -> str | None:
        """The reason to start no cell while there is too little free space; a full disk also fails running cells."""
        free = preflight.free_gib(self.grid.root)
        if free < self.grid.policy.free_gib:
            return f"{self.grid.root} has {free:.1f} GiB free, policy.free_gib is {self.grid.policy.free_gib:g}"
        return None

    def show(self) -> None:
        """Draw the table of cells."""
        rows = status.rows(list(self.planned.values()), self.ledger.entries())
        self.view.show(rows, status.counts(rows) + (f"; paused: {self.paused_for}" if self.paused_for else ""))

    def _record_fault(self, planned: PlannedCell, state: CellState, attempt: Attempt, fault: Fault) -> None:
        if state in (CellState.FAILED, CellState.STOPPED):
            failure = Failure(fault.kind, fault.reason, attempt.number, time.time())
            self.write(lambda: planned.record.write_failure(failure))
        if state == CellState.FAILED:
            facts = {"grid": self.grid.name, "cell": attempt.name, "fault": fault.kind, "reason": fault.reason}
            notify(self.webhook, "cell failed", facts)

    def _say(self, name: str, state: CellState, result: AttemptResult | None) -> None:
        fault = result.fault if result else None
        reason = f" ({fault.kind}: {fault.reason})" if fault else ""
        duration = f" after {status.span(result.seconds)}" if result and result.seconds else ""
        self.view.say(f"{name}: {state}{duration}{reason}")
