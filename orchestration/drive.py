"""The driver of a grid: takes the lease, starts or joins Ray and MLflow, lets the scheduler run, tidies up.

The driver may die at any moment: whoever runs the same command again takes the lease, reads the folders, and goes on
from the last checkpoints.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, Protocol

from sqlalchemy.exc import OperationalError

from orchestration import cluster, gauges, plan, preflight, view
from orchestration.cell import Assignment
from orchestration.executor import Ended, Executor, Work
from orchestration.grid import Cell, GridConfig
from orchestration.lanes import RayLanes
from orchestration.ledger import Ledger, Wish
from orchestration.mirror import Mirror
from orchestration.notify import check_url, notify
from orchestration.records import Failure
from orchestration.room import Patience, is_full
from orchestration.scheduler import DONE, FAILED, PENDING, STOPPED, Scheduler
from uniferum.errors import UniferumError

log = logging.getLogger(__name__)


class View(Protocol):
    """Whoever shows a running grid."""

    def show(self, rows: Sequence[view.Row], headline: str) -> None:
        """Draw the cells as they are now; called about once a second."""
        ...

    def say(self, message: str) -> None:
        """One line."""
        ...


@dataclass(frozen=True)
class Options:
    """How one ``grid run`` was asked to run; nothing here changes a result."""

    address: str | None = None
    parallel: int | None = None
    wait: bool = True
    only_scores: bool = False
    notify: str | None = None


@dataclass
class Summary:
    """How a grid ended."""

    states: dict[str, str] = field(default_factory=dict)
    planned: list[plan.Planned] = field(default_factory=list)
    interrupted: bool = False
    paused: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> list[plan.Planned]:
        """Cells without a result that are not merely left for later."""
        return [p for p in self.planned if self.states.get(p.cell.name, PENDING) in (FAILED, plan.NO_DATA)]

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some not, 130 interrupted."""
        if self.interrupted:
            return 130
        return 0 if all(state == DONE for state in self.states.values()) else 1


@dataclass
class Driver:
    """The scheduler's listener: ledger, records, MLflow and the view hear of every move."""

    grid: GridConfig
    planned: dict[str, plan.Planned]
    ledger: Ledger
    token: int
    mirror: Mirror
    view: View
    webhook: str | None = None
    patience: Patience = field(default_factory=lambda: Patience(log.warning))
    shown_at: float = 0.0
    renewed_at: float = 0.0
    paused_for: str | None = None
    lost: bool = False

    def moved(self, work: Work, state: str, attempt: int, ended: Ended | None) -> None:
        """Note it in the ledger, and in the cell's folder where it failed."""
        planned = self.planned[work.name]
        fault = ended.fault if ended else None
        facts: dict[str, Any] = {"attempt": attempt, "folder": str(planned.folder)}
        facts |= {"fault": fault.kind if fault else None, "reason": fault.reason if fault else None}
        if ended is not None:
            facts |= {"seconds": ended.seconds, "node": ended.node}
        if state == "running":
            facts["started"] = time.time()
            self.mirror.began(planned)
        self.patience(lambda: self.ledger.note(work.name, state, **facts))
        gauges.show_state(work.name, state)
        if fault is not None and state in (FAILED, STOPPED):
            failure = Failure(fault.kind, fault.reason, attempt, time.time())
            self.patience(lambda: planned.record.write_failure(failure))
        if fault is not None and state == FAILED:
            told = {"grid": self.grid.name, "cell": work.name, "fault": fault.kind, "reason": fault.reason}
            notify(self.webhook, "cell failed", told)
        if state in (DONE, FAILED, STOPPED):
            self.patience(lambda: self.mirror.ended(planned, state))
        self._say(work.name, state, ended)

    def paused(self, reason: str | None) -> None:
        """Tell it and note it for other shells."""
        self.paused_for = reason
        self.patience(lambda: self.ledger.set_fact("paused", reason))
        self.view.say(f"no new cells: {reason}" if reason else "cells start again")

    def wishes(self) -> Sequence[Wish]:
        """Renew the lease, show the table, and hand over what other shells asked for."""
        now = time.monotonic()
        if now - self.renewed_at > 5.0:
            self.renewed_at = now
            if not self.patience(lambda: self.ledger.renew(self.token)) and not self.lost:
                self.lost = True
                self.view.say("another driver took the lease; leaving the grid to it")
                return [Wish("cancel", None, None)]
        if now - self.shown_at > 0.9:
            self.shown_at = now
            self.patience(self.show)
        return self.patience(self.ledger.take_wishes)

    def may_start(self) -> str | None:
        """A full disk spoils running cells too: start none while there is too little room."""
        free = preflight.free_gib(self.grid.root)
        if free < self.grid.policy.free_gib:
            return f"{self.grid.root} has {free:.1f} GiB free, policy.free_gib is {self.grid.policy.free_gib:g}"
        return None

    def show(self) -> None:
        """Draw the table."""
        rows = view.rows(list(self.planned.values()), self.ledger.entries())
        self.view.show(rows, view.counts(rows) + (f"; paused: {self.paused_for}" if self.paused_for else ""))

    def _say(self, name: str, state: str, ended: Ended | None) -> None:
        fault = ended.fault if ended else None
        reason = f" ({fault.kind}: {fault.reason})" if fault else ""
        took = f" after {view.span(ended.seconds)}" if ended and ended.seconds else ""
        self.view.say(f"{name}: {state}{took}{reason}")


def run_grid(grid: GridConfig, cells: Sequence[Cell], shown: View, options: Options) -> Summary:
    """Run every cell that is not done; see the module.

    Raises:
        UniferumError: no cell has its data, the root cannot be written, or the cluster cannot hold a cell.
    """
    started = time.monotonic()
    cluster.check_address(options.address)
    check_url(options.notify)
    preflight.check_root(grid.root)
    with _driving(grid, shown, options) as (ledger, token):
        planned = plan.make_plan(grid, cells)
        summary = Summary(states={p.cell.name: _first_state(p, options) for p in planned}, planned=planned)
        due = [p for p in planned if summary.states[p.cell.name] == PENDING]
        if all(p.state == plan.NO_DATA for p in planned):
            raise UniferumError(
                "stores", must="exist", cure=f"no cell has its data; absent: {', '.join(plan.absent_stores(grid))}"
            )
        mirror = Mirror(grid, shown.say)
        behind = mirror.catch_up([p for p in planned if p.state == plan.DONE])
        if due:
            preflight.check_space(grid, planned)
            _run_due(grid, due, ledger, token, mirror, shown, options, summary)
        elif behind:
            mirror.start()
            mirror.finish()
        summary.seconds = time.monotonic() - started
    done = sum(state == DONE for state in summary.states.values())
    facts = {"grid": grid.name, "done": done, "cells": len(planned), "exit_code": summary.exit_code}
    notify(options.notify, "ended", facts, wait=True)
    return summary


def _first_state(planned: plan.Planned, options: Options) -> str:
    if planned.state in (plan.DONE, plan.NO_DATA):
        return planned.state
    return PENDING if planned.state == plan.RESCORE or not options.only_scores else STOPPED


def _run_due(
    grid: GridConfig,
    due: list[plan.Planned],
    ledger: Ledger,
    token: int,
    mirror: Mirror,
    shown: View,
    options: Options,
    summary: Summary,
) -> None:
    mirror.start()
    joined = cluster.connect(options.address, grid.resources)
    try:
        shown.say(f"Ray dashboard: {joined.dashboard or 'off, so there are no live metrics'}")
        ledger.set_fact("dashboard", joined.dashboard)
        cluster.check_fits(grid.resources)
        preflight.check_seen_everywhere(grid.root)
        lanes = RayLanes(
            (grid.root / "lanes").resolve(), grid.name, grid.resources, (grid.root / "driver.beat").resolve(), token
        )
        lanes.say, lanes.head = shown.say, joined.address
        for lane in lanes.take_over():
            shown.say(f"gave back what {lane} of an earlier driver had reserved")
        planned = {p.cell.name: p for p in summary.planned}
        driver = Driver(grid, planned, ledger, token, mirror, shown, options.notify, lanes.patience)
        try:
            summary.states |= _schedule(grid, due, lanes, driver, options, summary)
        except cluster.HeadLost as error:
            summary.paused = f"{error}; start it anew, then the same command goes on from the last checkpoints"
            lanes.abandon()
        finally:
            lanes.close()
            driver.show()
    finally:
        mirror.finish()
        cluster.leave(joined)


def _schedule(
    grid: GridConfig,
    due: list[plan.Planned],
    executor: Executor,
    driver: Driver,
    options: Options,
    summary: Summary,
) -> dict[str, str]:
    parallel = options.parallel or grid.resources.parallel
    scheduler = Scheduler(executor, driver, grid.policy, parallel)
    for p in due:
        pending = {"folder": str(p.folder), "attempt": 0, "reason": None, "fault": None}
        driver.patience(partial(driver.ledger.note, p.cell.name, PENDING, **pending))
    for name, state in summary.states.items():
        gauges.show_state(name, state)
    with _interruptible(scheduler, summary, driver.view.say):
        states = scheduler.run(work_of(grid, p) for p in due)
    summary.paused = scheduler.pause_reason
    summary.interrupted = summary.interrupted or driver.lost
    return states


def work_of(grid: GridConfig, planned: plan.Planned) -> Work:
    """What the scheduler and a worker need of a planned cell."""
    assert planned.folder is not None, "only cells with data are run"
    assignment = Assignment(
        name=planned.cell.name,
        folder=str(planned.folder.resolve()),
        config=planned.cell.config.model_dump(mode="json"),
        stores=grid.places,
        attempt=0,
        token="",
        evaluate_only=planned.state == plan.RESCORE,
        stall_s=grid.policy.stall_s,
    )
    return Work(planned.cell.name, planned.cell.priority, assignment)


@contextlib.contextmanager
def _driving(grid: GridConfig, shown: View, options: Options) -> Iterator[tuple[Ledger, int]]:
    """Hold the lease; wait for the driver that has it, and then go on with what it left."""
    ledger = Ledger.of(grid)
    patience = Patience(shown.say)
    try:
        token = patience(ledger.take_lease)
        if token is None:
            token = _wait_for_lease(ledger, shown, options, patience)
        try:
            patience(lambda: ledger.set_fact("paused", None))
            yield ledger, token
        finally:
            _release(ledger, token)
    finally:
        ledger.close()


def _release(ledger: Ledger, token: int) -> None:
    try:
        ledger.release(token)
    except OperationalError as error:
        if not is_full(error):
            raise
        log.warning("the disk is full; the lease runs out by itself")


def _wait_for_lease(ledger: Ledger, shown: View, options: Options, patience: Patience) -> int:
    holder = ledger.holder()
    owner = holder.owner if holder else "another process"
    if not options.wait:
        raise UniferumError("grid", owner, must="not be driven by somebody else", cure="wait, or leave out --no-wait")
    shown.say(f"{owner} drives this grid; waiting for it to end (uniferum grid status shows it)")
    while (token := patience(ledger.take_lease)) is None:
        time.sleep(1.0)
    return token


@contextlib.contextmanager
def _interruptible(scheduler: Scheduler, summary: Summary, say: Callable[[str], None]) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM, as batch systems send it) checkpoints and stops; the second leaves at once."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        if summary.interrupted:
            say("left at once; the same command goes on from the last checkpoints")
            os._exit(130)
        summary.interrupted = True
        say("interrupted: running cells write a checkpoint and stop (again: leave at once)")
        scheduler.interrupt("interrupted")

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
