"""The driver: its lease, its checks before the start, its signals and its messages."""

import multiprocessing
import signal
import sqlite3
import sys
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from orchestration.attempt.attempt import Attempt, AttemptResult
from orchestration.attempt.failures import Fault
from orchestration.attempt.spool import append
from orchestration.cluster import preflight
from orchestration.driver import run
from orchestration.driver.events import GridEvents
from orchestration.driver.run import Options, run_grid
from orchestration.driver.signals import Interrupts
from orchestration.grid import plan
from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig
from orchestration.grid.planned import PlannedCell
from orchestration.grid.records import cell_folder
from orchestration.grid.states import CellState, PlanState
from orchestration.grid.unsent import waits_for_mlflow
from orchestration.ledger.database import LEASE
from orchestration.ledger.lease import LeaseRenewal
from orchestration.ledger.ledger import Ledger
from orchestration.ledger.summary import GridSummary
from orchestration.scheduling.scheduler import Scheduler
from orchestration.tracking.sync import TrackingSync
from tests.support.postgres_server import PostgresServer
from tests.support.small_grids import cell, finish, grid
from tests.support.started_cells import identity_by_seed, started_grid
from uniferum.errors import StateError, UniferumError

TRAINING, EVALUATION = "aaaaaaaa11111111", "bbbbbbbb22222222"


class Lines:
    """A view that keeps the lines."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, rows: object, headline: str) -> None:
        """Draw nothing."""

    def say(self, message: str) -> None:
        """Keep the line."""
        self.said.append(message)


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GridConfig:
    """A grid whose one cell is done."""
    made = grid(tmp_path, tracking={"enabled": False})
    finish(cell_folder(made.cells_folder, cell().name, TRAINING), TRAINING, EVALUATION)
    real = plan.make_plan
    monkeypatch.setattr(run.plan, "make_plan", lambda g, c: real(g, c, lambda config, stores: (TRAINING, EVALUATION)))
    return made


def _hold(path: Path, seconds: float, ready: "multiprocessing.Queue[bool]") -> None:
    ledger = Ledger(path)
    token = ledger.take_lease()
    ready.put(True)
    time.sleep(seconds)
    assert token is not None
    ledger.release(token)
    time.sleep(20)


@pytest.fixture
def other_driver(finished: GridConfig) -> "multiprocessing.context.ForkProcess":
    context = multiprocessing.get_context("fork")
    ready = context.Queue()
    process = context.Process(target=_hold, args=(finished.ledger_address, 1.5, ready))
    process.start()
    assert ready.get(timeout=20)
    yield process
    process.kill()
    process.join()


def test_a_driver_with_its_ledger_on_a_server_leaves_no_file(finished: GridConfig, postgres: PostgresServer) -> None:
    there = finished.replace(ledger=postgres.address)
    assert run_grid(there, [cell()], Lines(), Options()).exit_code == 0
    assert not (finished.root / "ledger.sqlite").exists()
    ledger = Ledger.of(there)
    assert (ledger.holder(), ledger.take_lease()) == (None, 2)


def test_a_finished_grid_ends_at_once_with_success(finished: GridConfig) -> None:
    assert run_grid(finished, [cell()], Lines(), Options()).exit_code == 0


def test_a_finished_grid_whose_server_is_down_ends_with_success_and_says_what_mlflow_lacks(
    finished: GridConfig,
) -> None:
    behind = finished.replace(tracking={"uri": "http://127.0.0.1:9", "wait_s": 0.2})
    folder = cell_folder(behind.cells_folder, cell().name, TRAINING)
    append(folder, {"params": {"a": "1"}})
    summary = run_grid(behind, [cell()], Lines(), Options())
    assert summary.exit_code == 0
    assert summary.not_in_mlflow is not None
    assert "records of 1 cell" in summary.not_in_mlflow
    assert waits_for_mlflow(folder), "grid status and report show it from now on"


def test_a_cell_whose_state_changed_since_the_plan_was_shown_is_named(finished: GridConfig) -> None:
    record = cell_folder(finished.cells_folder, cell().name, TRAINING) / "result.json"
    result = record.read_text()
    record.unlink()
    shown = run.plan.make_plan(finished, [cell()])
    record.write_text(result)  # another driver finishes the cell while the user reads the plan
    view = Lines()
    assert run_grid(finished, [cell()], view, Options(shown_plan=shown)).exit_code == 0
    assert view.said == [f"{cell().name}: due when the plan was shown, now done (finished at step 4)"]


@pytest.mark.parametrize(
    ("changed", "what"),
    [("training_fingerprint", "its settings or training data"), ("evaluation_fingerprint", "its test data")],
)
def test_a_cell_of_the_same_state_whose_content_changed_is_named(finished: GridConfig, changed: str, what: str) -> None:
    now = run.plan.make_plan(finished, [cell()])
    shown = [replace(one, **{changed: "0" * 16}) for one in now]
    assert run.plan_changes(shown, now) == [f"{cell().name}: {what} changed after the plan was shown"]
    assert run.plan_changes([], now) == []


def test_a_plan_that_is_still_true_prints_nothing(finished: GridConfig) -> None:
    view = Lines()
    shown = run.plan.make_plan(finished, [cell()])
    run_grid(finished, [cell()], view, Options(shown_plan=shown))
    run_grid(finished, [cell()], view, Options())
    assert view.said == []


def test_a_second_driver_waits_for_the_first(finished: GridConfig, other_driver: object) -> None:
    view = Lines()
    assert run_grid(finished, [cell()], view, Options()).exit_code == 0
    assert Ledger.of(finished).take_lease() == 3, "the first driver had the lease, then the second"
    assert "is running this grid; waiting for it to end" in view.said[0]


def test_a_second_driver_that_may_not_wait_names_the_first(finished: GridConfig, other_driver: object) -> None:
    with pytest.raises(
        UniferumError, match=r"^Another driver \(PID \d+ on host \S+\) is running this grid\. Wait until it ends"
    ):
        run_grid(finished, [cell()], Lines(), Options(wait=False))


def test_a_grid_without_any_data_says_which_stores_are_absent(tmp_path: Path) -> None:
    made = grid(tmp_path, stores={"CTRATE": tmp_path / "nowhere"})
    with pytest.raises(UniferumError, match="absent: CTRATE"):
        run_grid(made, [cell()], Lines(), Options())


def test_weights_and_space_of_waiting_cells_are_checked_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = started_grid(tmp_path)
    (tmp_path / "store" / "reports.parquet").touch()
    looked: dict[str, list[str]] = {}
    monkeypatch.setattr(run.plan, "make_plan", lambda grid, cells: plan.plan_states(grid, cells, identity_by_seed))
    monkeypatch.setattr(run.DataPlan, "refuse", lambda plan: None)
    monkeypatch.setattr(
        run.preflight, "check_space", lambda grid, planned: looked.update(space=[p.cell.name for p in planned])
    )
    monkeypatch.setattr(
        run.weights_plan, "fetch", lambda planned: looked.update(weights=[p.cell.name for p in planned])
    )
    monkeypatch.setattr(run, "_run_due", lambda run: None)
    run_grid(made, expand(made), Lines(), Options())
    names = ["first", "first-seed1", "second", "second-seed1"]
    assert {kind: sorted(cells) for kind, cells in looked.items()} == {"space": names, "weights": names}


def test_a_root_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"root .* cannot be written .* Make it writable"):
        preflight.check_root(tmp_path / "file" / "root")


def test_too_little_space_for_all_checkpoints_is_refused_before_anything_starts(tmp_path: Path) -> None:
    made = grid(tmp_path, resources={"checkpoint_gib": 1e9})
    due = PlannedCell(cell(), PlanState.DUE, "", tmp_path, TRAINING, EVALUATION, None)
    with pytest.raises(StateError, match="GiB free; 1 cells of two checkpoints need"):
        preflight.check_space(made, [due])
    preflight.check_space(made, [])


class Nodes(SimpleNamespace):
    """A fake Ray: each node sees the root (True), does not (False) or has just left the cluster (None)."""

    def __init__(self, **nodes: bool | None) -> None:
        from ray import exceptions

        super().__init__(answers=nodes, exceptions=exceptions)

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "NodeID": name * 56, "NodeManagerHostname": name} for name in self.answers]

    def remote(self, function: object) -> SimpleNamespace:
        return SimpleNamespace(options=lambda **named: SimpleNamespace(remote=lambda path: self._of(**named)))

    def _of(self, num_cpus: int, scheduling_strategy: object) -> bool | None:
        return self.answers[str(scheduling_strategy.node_id)[0]]  # type: ignore[attr-defined]

    def get(self, ref: bool | None, timeout: float) -> bool:
        if ref is None:
            raise self.exceptions.TaskUnschedulableError("the node does not exist any more")
        return ref


def test_a_root_that_another_node_cannot_see_is_refused_naming_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", Nodes(a=True, b=False, c=None))  # pyright: ignore[reportArgumentType]
    with pytest.raises(StateError, match=r"nodes do not see the root .*: b/b+\. Set root to a shared folder\."):
        preflight.check_seen_everywhere(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "ray", Nodes(a=True, c=None))  # pyright: ignore[reportArgumentType]
    preflight.check_seen_everywhere(tmp_path)  # a node that has just left is not checked


@pytest.mark.parametrize(
    ("states", "interrupted", "code"),
    [
        ({"a": "done"}, False, 0),
        ({"a": "done", "b": "failed"}, False, 1),
        ({"a": "done", "b": "no data"}, False, 1),
        ({"a": "done", "b": "stopped"}, False, 1),
        ({"a": "done", "b": "stopped"}, True, 130),
        ({"a": "done", "b": "untrained"}, False, 0),
    ],
)
def test_exit_codes(states: dict[str, str], interrupted: bool, code: int) -> None:
    assert GridSummary(states=states, interrupted=interrupted).exit_code == code


def test_the_lease_is_kept_while_the_driver_does_something_else(finished: GridConfig) -> None:
    ledger = Ledger.of(finished)
    token = ledger.take_lease()
    assert token is not None
    with ledger.transaction() as db:
        db.execute(update(LEASE).values(expires=time.time() + 1.0))
    renewal = LeaseRenewal(finished, token, every_s=0.1)
    time.sleep(1.5)  # the main thread is busy
    holder = ledger.holder()
    assert holder is not None
    assert holder.left_s > 10
    with ledger.transaction() as db:
        db.execute(update(LEASE).values(owner="elsewhere:1", token=token + 1))
    time.sleep(0.5)
    assert renewal.lost
    renewal.end()


def test_a_full_disk_is_reported_once_and_so_is_its_end(finished: GridConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    view, full = Lines(), [True]
    token = Ledger.of(finished).take_lease()
    assert token is not None
    renew = Ledger.renew

    def renewed(ledger: Ledger, token: int) -> bool:
        if full[0]:
            raise OperationalError("", {}, sqlite3.OperationalError("database or disk is full"))
        return renew(ledger, token)

    monkeypatch.setattr(Ledger, "renew", renewed)
    renewal = LeaseRenewal(finished, token, every_s=0.05, say=view.say)
    time.sleep(0.4)
    full[0] = False
    time.sleep(0.4)
    renewal.end()
    assert view.said == [
        "the disk is full (database or disk is full); waiting for free space",
        "the disk has free space again; continuing",
    ]
    assert not renewal.lost


def test_a_driver_that_lost_its_lease_writes_nothing_and_takes_no_command(finished: GridConfig, tmp_path: Path) -> None:
    ledger = Ledger.of(finished)
    token = ledger.take_lease()
    assert token is not None
    renewal = LeaseRenewal(finished, token, every_s=60)
    (planned,) = run.plan.make_plan(finished, [cell()])
    view = Lines()
    events = GridEvents(finished, {cell().name: planned}, ledger, renewal, TrackingSync(finished, view.say), view)
    renewal.lost = True
    ledger.add_command("parallel", value="2")
    assert [command.verb for command in events.commands()] == ["cancel"]
    assert events.commands() == []
    attempt = Attempt(cell().name, "", {}, {}, number=1)
    events.moved(attempt, CellState.FAILED, AttemptResult(cell().name, 1, Fault("user error", "x")))
    events.paused("breaker")
    assert ledger.entries() == {}
    assert "paused" not in ledger.facts()
    assert planned.record.failure() is None
    assert len(ledger.take_commands()) == 1, "it stays for the driver that has the lease now"
    renewal.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_any_cell_runs_is_an_interrupt_and_while_they_run_a_stop(number: int) -> None:
    before = signal.getsignal(number)
    with Interrupts(lambda _line: None) as interrupts, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert interrupts.asked
    asked: list[str] = []
    scheduler = SimpleNamespace(interrupt=asked.append)
    with Interrupts(lambda _line: None) as interrupts:
        interrupts.scheduler = cast(Scheduler, scheduler)
        signal.raise_signal(number)
    assert (interrupts.asked, asked) == (True, ["interrupted"])
    with Interrupts(lambda _line: None) as interrupts:
        signal.signal(number, signal.SIG_IGN)  # as ray.init does with SIGTERM
        interrupts.listen()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_a_webhook_is_notified_when_the_grid_ends(finished: GridConfig) -> None:
    heard: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        run_grid(finished, [cell()], Lines(), Options(notify=f"http://127.0.0.1:{server.server_port}/x"))
    finally:
        server.shutdown()
        server.server_close()
    assert len(heard) == 1
    assert b'"exit_code": 0' in heard[0]


def test_a_webhook_that_does_not_answer_changes_nothing(finished: GridConfig) -> None:
    assert run_grid(finished, [cell()], Lines(), Options(notify="http://127.0.0.1:9/x")).exit_code == 0


def test_a_webhook_that_is_not_a_url_is_refused(finished: GridConfig) -> None:
    with pytest.raises(UniferumError, match="--notify"):
        run_grid(finished, [cell()], Lines(), Options(notify="me@here"))
