"""The scheduler with scripted attempts in virtual time: order, retries, commands, time limits."""

from collections.abc import Sequence

from orchestration.attempt.attempt import Attempt
from orchestration.attempt.failures import BUG, NAN, NODE_LOST, STALLED, TIMEOUT, Fault
from orchestration.grid.config import Policy
from orchestration.grid.states import CellState
from orchestration.ledger.ledger import Command
from orchestration.scheduling.scheduler import Scheduler
from tests.support.scripted_executor import Recorder, Script, Scripted, cell

LOST = Fault(NODE_LOST, "node was terminated")
WRONG = Fault(BUG, "KeyError: 'x'")


def _run(
    cells: Sequence[str | Attempt],
    executor: Scripted,
    *,
    policy: Policy | None = None,
    parallel: int | None = None,
    commands: Sequence[tuple[float, Command]] = (),
    full_until: float = 0.0,
) -> tuple[dict[str, CellState], Recorder]:
    recorder = Recorder(executor, list(commands), full_until=full_until)
    scheduler = Scheduler(executor, recorder, policy or Policy(backoff_s=10), parallel)
    attempts = [given if isinstance(given, Attempt) else cell(given) for given in cells]
    return scheduler.run(attempts), recorder


def test_no_more_cells_run_than_fit_and_all_end() -> None:
    executor = Scripted(3)
    states, _ = _run([f"c{n}" for n in range(10)], executor)
    assert set(states.values()) == {"done"}
    assert executor.most == 3


def test_parallel_lowers_what_fits() -> None:
    executor = Scripted(3)
    _run(["a", "b", "c"], executor, parallel=1)
    assert executor.most == 1


def test_priority_decides_the_order_and_the_file_breaks_ties() -> None:
    executor = Scripted(1)
    _run([cell("low"), cell("first", 5), cell("second", 5)], executor)
    assert [name for _, name, _ in executor.started] == ["first", "second", "low"]


def test_cells_that_nothing_orders_start_in_the_order_of_the_file() -> None:
    executor = Scripted(1)
    _run(["z", "y", "x"], executor)
    assert [name for _, name, _ in executor.started] == ["z", "y", "x"]


def test_of_cells_of_equal_priority_the_longest_starts_first() -> None:
    executor = Scripted(1)
    _run([cell("short", hours=1.0), cell("long", hours=9.0), cell("urgent", 1, hours=0.1)], executor)
    assert [name for _, name, _ in executor.started] == ["urgent", "long", "short"]


def test_an_interrupt_in_the_middle_of_admission_starts_no_further_cell_and_stops_those_that_run() -> None:
    executor = Scripted(4, {name: [(1000.0, None)] for name in "abcd"})
    scheduler = Scheduler(executor, Recorder(executor), Policy())
    start = executor.start

    def interrupted(attempt: Attempt) -> None:
        start(attempt)
        if attempt.name == "b":
            scheduler.interrupt("interrupted")  # as a signal's handler does, between two starts

    executor.start = interrupted  # type: ignore[method-assign]
    states = scheduler.run(cell(name) for name in "abcd")
    assert states == {"a": "stopped", "b": "stopped", "c": "pending", "d": "pending"}
    assert [name for _, name, _ in executor.started] == ["a", "b"]


def test_an_infrastructure_failure_while_the_driver_leaves_is_not_a_failure() -> None:
    executor = Scripted(1, {"a": [(2.0, LOST)]})
    states, _ = _run(["a", "b"], executor, commands=[(0.5, Command("stop", None, None))])
    assert states == {"a": "stopped", "b": "pending"}


def test_an_infrastructure_failure_is_retried_with_growing_pauses() -> None:
    executor = Scripted(1, {"a": [(1.0, LOST), (1.0, LOST), (1.0, None)]})
    states, _ = _run(["a"], executor)
    assert states == {"a": "done"}
    assert [at for at, _, _ in executor.started] == [0.0, 11.0, 32.0]  # 1 s + 10 s; 1 s + 20 s


def test_a_retry_that_is_due_before_the_next_poll_starts_when_it_is_due() -> None:
    executor = Scripted(1, {"a": [(1.0, LOST), (1.0, None)]})
    _run(["a"], executor, policy=Policy(backoff_s=0.25))
    assert [at for at, _, _ in executor.started] == [0.0, 1.25]


def test_retries_end() -> None:
    executor = Scripted(1, {"a": [(1.0, LOST)] * 9})
    states, _ = _run(["a"], executor, policy=Policy(retries=2, backoff_s=0))
    assert states == {"a": "failed"}
    assert len(executor.started) == 3


def test_an_error_in_the_code_is_not_retried_and_stops_no_other_cell() -> None:
    executor = Scripted(1, {"bad": [(1.0, WRONG)]})
    states, _ = _run(["bad", "good"], executor)
    assert states == {"bad": "failed", "good": "done"}
    assert len(executor.started) == 2


def test_a_waiting_retry_leaves_its_slot_to_others() -> None:
    executor = Scripted(1, {"a": [(1.0, LOST), (1.0, None)]})
    _run(["a", "b"], executor, policy=Policy(backoff_s=100))
    assert [(at, name) for at, name, _ in executor.started][:2] == [(0.0, "a"), (1.0, "b")]


def test_the_breaker_opens_after_cells_that_failed_for_the_same_reason() -> None:
    executor = Scripted(1, {name: [(1.0, WRONG)] for name in "abc"})
    states, recorder = _run("abcde", executor, policy=Policy(breaker=3, breaker_wait_s=0))
    assert states == {"a": "failed", "b": "failed", "c": "failed", "d": "pending", "e": "pending"}
    assert recorder.pauses == ["breaker: the last 3 cells failed for the same reason: error in the code: KeyError: 'x'"]


def test_a_grid_that_the_breaker_paused_waits_for_resume_and_then_ends() -> None:
    script: Script = {name: [(1.0, WRONG)] for name in "abc"}
    resumed = [(100.0, Command("resume", None, None))]
    states, recorder = _run("abcde", Scripted(1, dict(script)), policy=Policy(breaker=3), commands=resumed)
    assert [states[name] for name in "de"] == ["done", "done"]
    assert "waiting 60 minutes for `uniferum grid resume`" in str(recorder.pauses[0])
    assert recorder.pauses[-1] is None

    executor = Scripted(1, dict(script))
    states, _ = _run("abcde", executor, policy=Policy(breaker=3, breaker_wait_s=600))
    assert states["d"] == "pending"
    assert 600 <= executor.time < 620


def test_failures_that_differ_only_in_step_volumes_and_paths_count_as_the_same() -> None:
    script: Script = {
        name: [(1.0, Fault(NAN, f"loss of step {n} (nan) must be finite; look at CTRATE/{n}; last: /runs/{name}/last"))]
        for n, name in enumerate("abc")
    }
    states, recorder = _run("abcd", Scripted(1, script), policy=Policy(breaker=3, breaker_wait_s=0))
    assert states["d"] == "pending"
    assert len(recorder.pauses) == 1


def test_failures_for_different_reasons_leave_the_breaker_closed() -> None:
    reasons = ("KeyError: missing layer", "TypeError: no number", "KeyError: missing layer", "ValueError: too short")
    script: Script = {name: [(1.0, Fault(BUG, reason))] for name, reason in zip("abcd", reasons, strict=True)}
    states, recorder = _run("abcde", Scripted(1, script), policy=Policy(breaker=2))
    assert states["e"] == "done"
    assert not recorder.pauses


def test_a_cell_that_succeeds_between_two_that_fail_alike_keeps_the_breaker_closed() -> None:
    script: Script = {name: [(1.0, WRONG)] for name in "acd"}
    states, recorder = _run("abc", Scripted(1, dict(script)), policy=Policy(breaker=2, breaker_wait_s=0))
    assert states == {"a": "failed", "b": "done", "c": "failed"}
    assert not recorder.pauses

    _, recorder = _run("abcd", Scripted(1, dict(script)), policy=Policy(breaker=2, breaker_wait_s=0))
    assert len(recorder.pauses) == 1, "the two in a row open it"


def test_resume_closes_the_breaker_so_that_one_more_failure_does_not_open_it() -> None:
    script: Script = {name: [(1.0, WRONG)] for name in "abc"}
    resumed = [(10.0, Command("resume", None, None))]
    states, recorder = _run("abcd", Scripted(1, script), policy=Policy(breaker=2), commands=resumed)
    assert states == {"a": "failed", "b": "failed", "c": "failed", "d": "done"}
    assert [reason is None for reason in recorder.pauses] == [False, True]


def test_pause_starts_nothing_until_resume() -> None:
    executor = Scripted(1)
    commands = [(0.5, Command("pause", None, None)), (50.0, Command("resume", None, None))]
    states, recorder = _run(["a", "b"], executor, commands=commands)
    assert states == {"a": "done", "b": "done"}
    assert executor.started[1][0] >= 50.0
    assert recorder.pauses == ["paused by hand", None]


def test_stop_lets_running_cells_finish() -> None:
    states, _ = _run(["a", "b"], Scripted(1, {"a": [(5.0, None)]}), commands=[(0.5, Command("stop", None, None))])
    assert states == {"a": "done", "b": "pending"}


def test_cancel_stops_one_cell_running_or_waiting() -> None:
    executor = Scripted(1, {"a": [(100.0, None)]})
    commands = [(0.5, Command("cancel", "c", None)), (2.0, Command("cancel", "a", None))]
    states, _ = _run(["a", "b", "c"], executor, commands=commands)
    assert states == {"a": "stopped", "b": "done", "c": "stopped"}


def test_cancel_without_a_cell_stops_all_that_run_and_starts_no_other() -> None:
    executor = Scripted(2, {name: [(100.0, None)] for name in "ab"})
    states, _ = _run("abc", executor, commands=[(2.0, Command("cancel", None, None))])
    assert states == {"a": "stopped", "b": "stopped", "c": "pending"}
    assert executor.time < 10


def test_a_failed_cell_that_waits_to_be_retried_is_pending() -> None:
    executor = Scripted(1, {"a": [(1.0, WRONG)], "b": [(5.0, None)]})
    commands = [(3.0, Command("retry", "a", None)), (3.0, Command("stop", None, None))]
    states, _ = _run(["a", "b"], executor, commands=commands)
    assert states == {"a": "pending", "b": "done"}


def test_a_retry_of_a_cell_that_runs_changes_nothing() -> None:
    executor = Scripted(1, {"a": [(5.0, None)]})
    states, _ = _run(["a"], executor, commands=[(2.0, Command("retry", "a", None))])
    assert (states, len(executor.started)) == ({"a": "done"}, 1)


def test_retry_runs_a_failed_cell_again_with_all_its_retries() -> None:
    executor = Scripted(1, {"a": [(1.0, WRONG)], "b": [(5.0, None)]})
    executor.script["a"] = [(1.0, WRONG)]
    states, _ = _run(["a", "b"], executor, commands=[(3.0, Command("retry", "a", None))])
    assert [name for _, name, _ in executor.started] == ["a", "b", "a"]
    assert states == {"a": "failed", "b": "done"}


def test_parallelism_and_order_change_while_it_runs() -> None:
    executor = Scripted(4, {name: [(2.0, None)] for name in "abcd"})
    commands = [(0.5, Command("parallel", None, "3")), (0.5, Command("priority", "d", "9"))]
    _run("abcd", executor, parallel=1, commands=commands)
    assert [name for _, name, _ in executor.started] == ["a", "d", "b", "c"]
    assert executor.most == 3


def test_at_least_one_cell_may_run_whatever_a_command_says() -> None:
    executor = Scripted(4)
    states, _ = _run("abc", executor, commands=[(0.0, Command("parallel", None, "0"))])
    assert (set(states.values()), executor.most) == ({"done"}, 1)


def test_a_cell_that_runs_too_long_fails_and_is_not_retried() -> None:
    executor = Scripted(1, {"a": [(1000.0, None)]})
    states, _ = _run(["a"], executor, policy=Policy(timeout_s=20))
    assert states == {"a": "failed"}
    assert executor.time < 30
    assert executor.killed == [("a", Fault(TIMEOUT, "ran longer than policy.timeout_s (20 s)"))]


def test_a_cell_that_reports_nothing_is_killed_and_retried() -> None:
    executor = Scripted(1, {"a": [(1000.0, None), (1.0, None)]}, silent={"a": 99.0})
    states, recorder = _run(["a"], executor, policy=Policy(stall_s=30, backoff_s=0))
    assert states == {"a": "done"}
    assert recorder.moves == [("a", "running"), ("a", "waiting"), ("a", "running"), ("a", "done")]
    assert executor.killed == [("a", Fault(STALLED, "reported no step for 99 s (policy.stall_s is 30)"))]


def test_a_cell_that_does_not_stop_is_killed() -> None:
    executor = Scripted(1, {"a": [(1000.0, None)]}, deaf={"a"})
    states, _ = _run(["a"], executor, commands=[(1.0, Command("cancel", "a", None))])
    assert states == {"a": "stopped"}
    assert 61 < executor.time <= 62, "asked to stop at 1 s, killed at the first poll after 60 s more"


def test_no_cell_starts_on_a_full_disk_until_there_is_space() -> None:
    executor = Scripted(1)
    states, recorder = _run(["a"], executor, full_until=25.0)
    assert states == {"a": "done"}
    assert executor.started[0][0] >= 25.0
    assert recorder.pauses == ["the disk is full", None]
