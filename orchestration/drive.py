"""The driver of a grid: takes the lease, starts or joins Ray and MLflow, lets the scheduler run, tidies up.

The driver may die at any moment: whoever runs the same command again takes the lease, reads the folders, and goes on
from the last checkpoints.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.exc import OperationalError

from orchestration import cluster, gauges, plan, preflight
from orchestration.cell import Assignment
from orchestration.data_plan import DataPlan
from orchestration.executor import Executor, Work
from orchestration.grid import Cell, GridConfig
from orchestration.interrupts import Interrupts
from orchestration.lanes import RayLanes
from orchestration.lease import LeaseKeeper
from orchestration.ledger import Ledger
from orchestration.listener import Driver, View
from orchestration.mirror import Mirror
from orchestration.notify import check_url, notify
from orchestration.room import Patience, is_full
from orchestration.scheduler import DONE, FAILED, PENDING, Scheduler
from uniferum.errors import UniferumError

log = logging.getLogger(__name__)

UNTRAINED = "untrained"
"""A cell that `grid evaluate` leaves alone: there is no result to score again."""


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
        """0 all done (of `grid evaluate`: all that could be scored were), 1 some not, 130 interrupted."""
        if self.interrupted:
            return 130
        return 0 if all(state in (DONE, UNTRAINED) for state in self.states.values()) else 1


def run_grid(grid: GridConfig, cells: Sequence[Cell], shown: View, options: Options) -> Summary:
    """Run every cell that is not done; see the module.

    Raises:
        UniferumError: no cell has its data, a store does not fit, masks are missing (``sampling.missing_masks``), the
            root cannot be written, or the cluster cannot hold a cell.
    """
    started = time.monotonic()
    cluster.check_address(options.address)
    check_url(options.notify)
    preflight.check_root(grid.root)
    with Interrupts(shown.say) as interrupts, _driving(grid, shown, options) as (ledger, lease):
        planned = plan.make_plan(grid, cells)
        summary = Summary(states={p.cell.name: _first_state(p, options) for p in planned}, planned=planned)
        due = [p for p in planned if summary.states[p.cell.name] == PENDING]
        if all(p.state == plan.NO_DATA for p in planned):
            raise UniferumError(
                "stores", must="exist", cure=f"no cell has its data; absent: {', '.join(plan.absent_stores(grid))}"
            )
        DataPlan(grid, due).refuse()
        mirror = Mirror(grid, shown.say)
        behind = Patience(shown.say)(lambda: mirror.catch_up([p for p in planned if p.state == plan.DONE]))
        if due:
            preflight.check_space(grid, due)
            _run_due(grid, due, ledger, lease, mirror, shown, options, summary, interrupts)
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
    return PENDING if planned.state == plan.RESCORE or not options.only_scores else UNTRAINED


def _run_due(
    grid: GridConfig,
    due: list[plan.Planned],
    ledger: Ledger,
    lease: LeaseKeeper,
    mirror: Mirror,
    shown: View,
    options: Options,
    summary: Summary,
    interrupts: Interrupts,
) -> None:
    mirror.start()
    joined = cluster.connect(options.address, grid.resources)
    interrupts.listen()
    try:
        shown.say(f"Ray dashboard: {joined.dashboard or 'off, so there are no live metrics'}")
        ledger.set_fact("dashboard", joined.dashboard)
        cluster.check_fits(grid.resources)
        preflight.check_seen_everywhere(grid.root)
        beat = (grid.root / "driver.beat").resolve()
        lanes = RayLanes((grid.root / "lanes").resolve(), grid.name, grid.resources, beat, lease.token)
        lanes.say, lanes.head = shown.say, joined.address
        for lane in lanes.take_over():
            shown.say(f"gave back what {lane} of an earlier driver had reserved")
        planned = {p.cell.name: p for p in summary.planned}
        driver = Driver(grid, planned, ledger, lease, mirror, shown, options.notify, lanes.patience)
        mirror.leads = lambda: not driver.lost
        try:
            _schedule(grid, due, lanes, driver, options, summary, interrupts)
        except cluster.HeadLost as error:
            summary.paused = f"{error}; start it anew, then the same command goes on from the last checkpoints"
            lanes.abandon()
        finally:
            lanes.close()
            driver.show()
    finally:
        try:
            mirror.finish()
        finally:
            cluster.leave(joined)


def _schedule(
    grid: GridConfig,
    due: list[plan.Planned],
    executor: Executor,
    driver: Driver,
    options: Options,
    summary: Summary,
    interrupts: Interrupts,
) -> None:
    parallel, began = options.parallel or grid.resources.parallel, time.time()
    scheduler = Scheduler(executor, driver, grid.policy, parallel)
    for p in due:
        pending = {"folder": str(p.folder), "attempt": 0, "reason": None, "fault": None}
        driver.patience(partial(driver.ledger.note, p.cell.name, PENDING, **pending))
    driver.patience(lambda: driver.ledger.set_fact("began", str(began)))  # tells other shells which cells are ours
    for name, state in summary.states.items():
        gauges.show_state(name, state)
    interrupts.scheduler = scheduler
    try:
        scheduler.run(work_of(grid, p) for p in due)
    finally:  # also where the cluster is lost: what ended before has ended
        interrupts.scheduler = None
        summary.states |= scheduler.states
        summary.paused = scheduler.pause_reason
        summary.interrupted = interrupts.asked or driver.lost


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
    return Work(planned.cell.name, planned.cell.priority, assignment, planned.hours or 0.0)


@contextlib.contextmanager
def _driving(grid: GridConfig, shown: View, options: Options) -> Iterator[tuple[Ledger, LeaseKeeper]]:
    """Hold the lease; wait for the driver that has it, and then go on with what it left."""
    ledger = Ledger.of(grid)
    patience = Patience(shown.say)
    try:
        token = patience(ledger.take_lease)
        if token is None:
            token = _wait_for_lease(ledger, shown, options, patience)
        lease = LeaseKeeper(grid, token, say=shown.say)
        try:
            patience(lambda: ledger.set_fact("paused", None))
            yield ledger, lease
        finally:
            lease.end()
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
