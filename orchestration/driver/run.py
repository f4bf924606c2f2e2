"""The driver of a grid: takes the lease, starts or joins Ray and MLflow, lets the scheduler run, tidies up.

The driver may die at any moment: whoever runs the same command again takes the lease, reads the folders, and goes on
from the last checkpoints.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import OperationalError

from orchestration.attempt.attempt import Assignment
from orchestration.cluster import connect, preflight
from orchestration.cluster.ray_executor import RayExecutor
from orchestration.disk import Patience, is_full
from orchestration.driver.events import GridEvents, View
from orchestration.driver.signals import Interrupts
from orchestration.driver.webhook import check_url, notify
from orchestration.grid import metrics, plan
from orchestration.grid.cells import Cell
from orchestration.grid.config import GridConfig
from orchestration.grid.data_plan import DataPlan
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import CellState, PlanState
from orchestration.ledger.lease import LeaseRenewal
from orchestration.ledger.ledger import Ledger
from orchestration.ledger.summary import GridSummary
from orchestration.scheduling.executor import Executor, Work
from orchestration.scheduling.scheduler import Scheduler
from orchestration.tracking.sync import TrackingSync
from uniferum.errors import UniferumError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How one ``grid run`` was asked to run; nothing here changes a result."""

    address: str | None = None
    parallel: int | None = None
    wait: bool = True
    only_scores: bool = False
    notify: str | None = None


def run_grid(grid: GridConfig, cells: Sequence[Cell], shown: View, options: Options) -> GridSummary:
    """Run every cell that is not done; see the module.

    Raises:
        UniferumError: no cell has its data, a store does not fit, masks are missing (``sampling.missing_masks``), the
            root cannot be written, or the cluster cannot hold a cell.
    """
    started = time.monotonic()
    connect.check_address(options.address)
    check_url(options.notify)
    preflight.check_root(grid.root)
    with Interrupts(shown.say) as interrupts, _driving(grid, shown, options) as (ledger, lease):
        planned = plan.make_plan(grid, cells)
        summary = GridSummary(states={p.cell.name: _first_state(p, options) for p in planned}, planned=planned)
        due = [p for p in planned if summary.states[p.cell.name] == CellState.PENDING]
        if all(p.state == PlanState.NO_DATA for p in planned):
            raise UniferumError(
                "stores", must="exist", cure=f"no cell has its data; absent: {', '.join(plan.absent_stores(grid))}"
            )
        DataPlan(grid, due).refuse()
        mirror = TrackingSync(grid, shown.say)
        behind = Patience(shown.say)(lambda: mirror.catch_up([p for p in planned if p.state == PlanState.DONE]))
        if due:
            preflight.check_space(grid, due)
            _run_due(grid, due, ledger, lease, mirror, shown, options, summary, interrupts)
        elif behind:
            mirror.start()
            mirror.finish()
        summary.seconds = time.monotonic() - started
    done = sum(state == CellState.DONE for state in summary.states.values())
    facts = {"grid": grid.name, "done": done, "cells": len(planned), "exit_code": summary.exit_code}
    notify(options.notify, "ended", facts, wait=True)
    return summary


def _first_state(planned: PlannedCell, options: Options) -> str:
    if planned.state in (PlanState.DONE, PlanState.NO_DATA):
        return planned.state
    return CellState.PENDING if planned.state == PlanState.RESCORE or not options.only_scores else CellState.UNTRAINED


def _run_due(
    grid: GridConfig,
    due: list[PlannedCell],
    ledger: Ledger,
    lease: LeaseRenewal,
    mirror: TrackingSync,
    shown: View,
    options: Options,
    summary: GridSummary,
    interrupts: Interrupts,
) -> None:
    mirror.start()
    joined = connect.connect(options.address, grid.resources)
    interrupts.listen()
    try:
        shown.say(f"Ray dashboard: {joined.dashboard or 'off, so there are no live metrics'}")
        ledger.set_fact("dashboard", joined.dashboard)
        connect.check_fits(grid.resources)
        preflight.check_seen_everywhere(grid.root)
        beat = (grid.root / "driver.beat").resolve()
        lanes = RayExecutor((grid.root / "lanes").resolve(), grid.name, grid.resources, beat, lease.token)
        lanes.say, lanes.head = shown.say, joined.address
        for lane in lanes.take_over():
            shown.say(f"gave back what {lane} of an earlier driver had reserved")
        planned = {p.cell.name: p for p in summary.planned}
        driver = GridEvents(grid, planned, ledger, lease, mirror, shown, options.notify, lanes.patience)
        mirror.leads = lambda: not driver.lost
        try:
            _schedule(grid, due, lanes, driver, options, summary, interrupts)
        except connect.HeadLost as error:
            summary.paused = f"{error}; start it anew, then the same command goes on from the last checkpoints"
            lanes.abandon()
        finally:
            lanes.close()
            driver.show()
    finally:
        try:
            mirror.finish()
        finally:
            connect.leave(joined)


def _schedule(
    grid: GridConfig,
    due: list[PlannedCell],
    executor: Executor,
    driver: GridEvents,
    options: Options,
    summary: GridSummary,
    interrupts: Interrupts,
) -> None:
    parallel, began = options.parallel or grid.resources.parallel, time.time()
    scheduler = Scheduler(executor, driver, grid.policy, parallel)
    for p in due:
        pending = {"folder": str(p.folder), "attempt": 0, "reason": None, "fault": None}
        driver.patience(partial(driver.ledger.note, p.cell.name, CellState.PENDING, **pending))
    driver.patience(lambda: driver.ledger.set_fact("began", str(began)))  # tells other shells which cells are ours
    for name, state in summary.states.items():
        metrics.show_state(name, state)
    interrupts.scheduler = scheduler
    try:
        scheduler.run(work_of(grid, p) for p in due)
    finally:  # also where the cluster is lost: what ended before has ended
        interrupts.scheduler = None
        summary.states |= scheduler.states
        summary.paused = scheduler.pause_reason
        summary.interrupted = interrupts.asked or driver.lost


def work_of(grid: GridConfig, planned: PlannedCell) -> Work:
    """What the scheduler and a worker need of a planned cell."""
    assert planned.folder is not None, "only cells with data are run"
    assignment = Assignment(
        name=planned.cell.name,
        folder=str(planned.folder.resolve()),
        config=planned.cell.config.model_dump(mode="json"),
        stores=grid.places,
        attempt=0,
        token="",
        evaluate_only=planned.state == PlanState.RESCORE,
        stall_s=grid.policy.stall_s,
    )
    return Work(planned.cell.name, planned.cell.priority, assignment, planned.hours or 0.0)


@contextlib.contextmanager
def _driving(grid: GridConfig, shown: View, options: Options) -> Iterator[tuple[Ledger, LeaseRenewal]]:
    """Hold the lease; wait for the driver that has it, and then go on with what it left."""
    ledger = Ledger.of(grid)
    patience = Patience(shown.say)
    try:
        token = patience(ledger.take_lease)
        if token is None:
            token = _wait_for_lease(ledger, shown, options, patience)
        lease = LeaseRenewal(grid, token, say=shown.say)
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
