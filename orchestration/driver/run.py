"""Run a grid: acquire the lease, connect to Ray and MLflow, schedule the cells, clean up.

The driver may be killed at any point: the same command, run again, takes the lease, reads the cells' folders and
continues from the last checkpoints.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import OperationalError

from orchestration.attempt.attempt import Attempt
from orchestration.cluster import connect, preflight
from orchestration.cluster.ray_executor import RayExecutor
from orchestration.disk import is_full, retry_while_disk_full
from orchestration.driver.events import GridEvents, View
from orchestration.driver.rounds import first_state, second_round, still_waiting, waiting_for
from orchestration.driver.signals import Interrupts
from orchestration.driver.webhook import check_url, notify
from orchestration.grid import metrics, plan, weights_plan
from orchestration.grid.cells import Cell
from orchestration.grid.config import GridConfig
from orchestration.grid.data_plan import DataPlan
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import CellState, PlanState
from orchestration.grid.stores import absent_stores
from orchestration.ledger.lease import LeaseRenewal
from orchestration.ledger.ledger import Ledger
from orchestration.ledger.summary import GridSummary
from orchestration.scheduling.executor import Executor
from orchestration.scheduling.scheduler import Scheduler
from orchestration.tracking.sync import TrackingSync
from uniferum.errors import StateError, UniferumError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The options of one ``grid run``; none of them changes a result.

    Args:
        address: the Ray cluster to join; None: start Ray here.
        parallel: the maximal number of cells at once.
        wait: wait while another driver has the lease.
        only_scores: score again, and train nothing.
        notify: a URL that is notified when the grid ends or a cell fails.
        shown_plan: the plan that the user saw before; changes since then are printed.
    """

    address: str | None = None
    parallel: int | None = None
    wait: bool = True
    only_scores: bool = False
    notify: str | None = None
    shown_plan: Sequence[PlannedCell] = ()


@dataclass(frozen=True, kw_only=True)
class GridRun:
    """One run of a grid by the driver that holds the lease."""

    grid: GridConfig
    options: Options
    view: View
    interrupts: Interrupts
    ledger: Ledger
    lease: LeaseRenewal
    tracking: TrackingSync
    due: list[PlannedCell]
    summary: GridSummary


def run_grid(grid: GridConfig, cells: Sequence[Cell], view: View, options: Options) -> GridSummary:
    """Run every cell that is not done.

    Args:
        grid: where stores and records are, and how cells run.
        cells: the cells of the grid that are to be run.
        view: shows the run.
        options: the options of the command.

    Returns:
        How the grid ended.

    Raises:
        UniferumError: no cell has its data, a store does not fit, masks are missing (``sampling.missing_masks``), the
            root cannot be written, or the cluster cannot hold a cell.
        StateError: another driver has the lease and ``options.wait`` is off.
    """
    started = time.monotonic()
    connect.check_address(options.address)
    check_url(options.notify)
    preflight.check_root(grid.root)
    with Interrupts(view.say) as interrupts, _holding_lease(grid, view, options) as (ledger, lease):
        planned = plan.make_plan(grid, cells)
        for line in plan_changes(options.shown_plan, planned):
            view.say(line)
        states = {p.cell.name: first_state(p, only_scores=options.only_scores) for p in planned}
        summary = GridSummary(states=states, planned=planned)
        due = [p for p in planned if summary.states[p.cell.name] == CellState.PENDING]
        if all(p.state == PlanState.NO_DATA for p in planned):
            absent = absent_stores(grid)
            if absent:
                raise UniferumError("stores", must="exist", cure=f"no cell has its data; absent: {', '.join(absent)}")
            why = "; ".join(dict.fromkeys(p.why for p in planned))
            raise UniferumError(f"grid {grid.name}", must="have a cell that can start", cure=why)
        DataPlan(grid, due).refuse()
        tracking = TrackingSync(grid, view.say)
        done = [p for p in planned if p.state == PlanState.DONE]
        behind = retry_while_disk_full(lambda: tracking.catch_up(done), view.say)
        if due:
            later = [] if options.only_scores else waiting_for(due, planned)
            preflight.check_space(grid, [*due, *later])
            weights_plan.fetch([*due, *later])
            run = GridRun(
                grid=grid,
                options=options,
                view=view,
                interrupts=interrupts,
                ledger=ledger,
                lease=lease,
                tracking=tracking,
                due=due,
                summary=summary,
            )
            _run_due(run)
        elif behind:
            tracking.start()
            summary.not_in_mlflow = tracking.finish()
        for line in still_waiting(summary.planned):
            view.say(line)
        summary.seconds = time.monotonic() - started
    count = sum(state == CellState.DONE for state in summary.states.values())
    facts = {"grid": grid.name, "done": count, "cells": len(planned), "exit_code": summary.exit_code}
    facts["not_in_mlflow"] = summary.not_in_mlflow
    notify(options.notify, "ended", facts, wait=True)
    return summary


def plan_changes(shown: Sequence[PlannedCell], planned: Sequence[PlannedCell]) -> list[str]:
    """Compare the plan that the user saw with the plan made under the lease.

    Args:
        shown: the plan that the user saw; cells that it lacks are not compared.
        planned: the plan that is run.

    Returns:
        One line for each cell whose state, or whose settings or data, changed.
    """
    before = {p.cell.name: p for p in shown}
    return [line for p in planned if p.cell.name in before for line in _changes_of(before[p.cell.name], p)]


def _changes_of(shown: PlannedCell, now: PlannedCell) -> list[str]:
    if shown.state != now.state:
        return [f"{now.cell.name}: {shown.state} when the plan was shown, now {now.state} ({now.why})"]
    if shown.training_fingerprint != now.training_fingerprint:
        return [f"{now.cell.name}: its settings or training data changed after the plan was shown"]
    if shown.evaluation_fingerprint != now.evaluation_fingerprint:
        return [f"{now.cell.name}: its test data changed after the plan was shown"]
    return []


def _run_due(run: GridRun) -> None:
    """Connect to Ray and MLflow, and run the cells that are due."""
    run.tracking.start()
    cluster = connect.connect(run.options.address, run.grid.resources)
    run.interrupts.listen()
    try:
        _run_on(cluster, run)
    finally:
        try:
            connect.leave(cluster)  # before the wait for MLflow, which needs no CPU and no GPU of the cluster
        finally:
            run.summary.not_in_mlflow = run.tracking.finish()


def _run_on(cluster: connect.Cluster, run: GridRun) -> None:
    grid, view = run.grid, run.view
    view.say(f"Ray dashboard: {cluster.dashboard or 'off, so there are no live metrics'}")
    run.ledger.set_fact("dashboard", cluster.dashboard)
    connect.check_fits(grid.resources)
    preflight.check_seen_everywhere(grid.root)
    heartbeat = (grid.root / "driver.beat").resolve()
    folder = (grid.root / "lanes").resolve()  # part of the format of a root on disk
    executor = RayExecutor(folder, grid.name, grid.resources, heartbeat, run.lease.token)
    executor.say, executor.head = view.say, cluster.address
    for name in executor.release_earlier():
        view.say(f"released the resources that worker group {name} of an earlier driver had reserved")
    planned = {p.cell.name: p for p in run.summary.planned}
    events = GridEvents(
        grid, planned, run.ledger, run.lease, run.tracking, view, run.options.notify, meanwhile=executor.beat
    )
    run.tracking.leads = lambda: not events.lost
    try:
        events.write(lambda: run.ledger.set_fact("began", str(time.time())))  # other shells ignore older states
        if _schedule(run.due, run, executor, events):
            waited = second_round(run.grid, run.summary, only_scores=run.options.only_scores)
            planned |= {p.cell.name: p for p in run.summary.planned}
            if waited:
                view.say(f"{len(waited)} cells start from cells that are done now")
                DataPlan(grid, waited).refuse()
                _schedule(waited, run, executor, events)
    except connect.HeadLost as error:
        run.summary.paused = f"{error}; restart it, then run the same command to continue from the last checkpoints"
        executor.abandon()
    finally:
        executor.close()
        events.show()


def _schedule(due: Sequence[PlannedCell], run: GridRun, executor: Executor, events: GridEvents) -> bool:
    """Run cells until each has ended; false if the run is to start no more cells."""
    grid, summary = run.grid, run.summary
    scheduler = Scheduler(executor, events, grid.policy, run.options.parallel or grid.resources.parallel)
    for p in due:
        pending = {"folder": str(p.folder), "attempt": 0, "reason": None, "fault": None}
        events.write(partial(run.ledger.note, p.cell.name, CellState.PENDING, **pending))
    for name, state in summary.states.items():
        metrics.show_state(name, state)
    run.interrupts.scheduler = scheduler
    try:
        scheduler.run(attempt_of(grid, p) for p in due)
    finally:  # also when the cluster is lost: keep the states of the cells that ended before
        run.interrupts.scheduler = None
        summary.states |= scheduler.states
        summary.paused = scheduler.pause_reason
        summary.interrupted = run.interrupts.asked or events.lost
    return not (scheduler.leaving or summary.paused or summary.interrupted)


def attempt_of(grid: GridConfig, planned: PlannedCell) -> Attempt:
    """The attempt that the scheduler begins with: number 0, without a token."""
    assert planned.folder is not None, "only cells with data are run"
    return Attempt(
        name=planned.cell.name,
        folder=str(planned.folder.resolve()),
        config=planned.cell.config.model_dump(mode="json"),
        stores=grid.store_addresses,
        evaluate_only=planned.state == PlanState.RESCORE,
        stall_s=grid.policy.stall_s,
        priority=planned.cell.priority,
        expected_hours=planned.hours or 0.0,
        axes=dict(planned.cell.axes),
    )


@contextlib.contextmanager
def _holding_lease(grid: GridConfig, view: View, options: Options) -> Iterator[tuple[Ledger, LeaseRenewal]]:
    """Hold the grid's lease; wait while another driver holds it."""
    ledger = Ledger.of(grid)
    try:
        token = retry_while_disk_full(ledger.take_lease, view.say)
        if token is None:
            token = _wait_for_lease(ledger, view, options)
        lease = LeaseRenewal(grid, token, say=view.say)
        try:
            retry_while_disk_full(lambda: ledger.set_fact("paused", None), view.say)
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
        log.warning("the disk is full, so the lease was not released; it expires by itself")


def _wait_for_lease(ledger: Ledger, view: View, options: Options) -> int:
    holder = ledger.holder()
    driver = _driver_name(holder.owner) if holder else "Another driver"
    if not options.wait:
        raise StateError(f"{driver} is running this grid", cure="Wait until it ends, or leave out --no-wait.")
    view.say(f"{driver} is running this grid; waiting for it to end (see uniferum grid status)")
    while (token := retry_while_disk_full(ledger.take_lease, view.say)) is None:
        time.sleep(1.0)
    return token


def _driver_name(owner: str) -> str:
    host, _, pid = owner.partition(":")
    return f"Another driver (PID {pid} on host {host})"
