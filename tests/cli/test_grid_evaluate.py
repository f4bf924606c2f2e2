"""`uniferum grid evaluate`, and the summary at the end of a grid; without Ray or data."""

import pytest

from orchestration.driver import run as drive
from orchestration.grid.cells import Cell
from orchestration.grid.config import GridConfig
from orchestration.grid.plan import make_plan
from orchestration.grid.records import Failure
from orchestration.ledger.summary import GridSummary
from tests.support.grid_shell import EVALUATION, FIRST, SECOND, TRAINING, Shell
from tests.support.small_grids import finish


def test_evaluate_ends_well_when_all_that_could_be_scored_was(shell: Shell) -> None:
    finish(shell.record().folder, TRAINING, EVALUATION)
    done = shell("evaluate")
    assert f"not trained, so not scored: {SECOND} (uniferum grid run trains them)" in done.stderr
    assert "failed cells" not in done.output
    assert done.exit_code == 0, done.exception


@pytest.mark.parametrize(("ended", "code"), [("done", 0), ("failed", 1)])
def test_evaluate_scores_what_is_to_be_scored_and_fails_with_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, ended: str, code: int
) -> None:
    """No free space is required, because scoring writes no checkpoints."""
    finish(shell.record().folder, TRAINING, "an older test set")
    asked: list[str] = []

    def run(grid_run: drive.GridRun) -> None:
        asked.extend(p.cell.name for p in grid_run.due)
        grid_run.summary.states.update({p.cell.name: ended for p in grid_run.due})

    monkeypatch.setattr(drive, "_run_due", run)
    assert shell("evaluate", "--set", "resources.checkpoint_gib=1000000000").exit_code == code
    assert asked == [FIRST]


def test_a_dry_evaluation_says_what_it_would_score_and_does_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(shell.record().folder, TRAINING, "an older test set", seconds=360_000.0)
    monkeypatch.setattr(drive, "run_grid", lambda *given: pytest.fail("a dry run runs nothing"))
    done = shell("evaluate", "--dry-run")
    assert done.exit_code == 0, done.exception
    assert "1 of 2 cells would be scored again; 0.0 hours" in done.stderr


def test_an_evaluation_of_chosen_cells_is_sent_to_a_webhook(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def run(grid: GridConfig, cells: list[Cell], shown: object, options: drive.Options) -> GridSummary:
        asked.extend([[cell.name for cell in cells], options.only_scores, options.notify])
        return GridSummary(states={FIRST: "done"})

    monkeypatch.setattr(drive, "run_grid", run)
    done = shell("evaluate", "--only", SECOND, "--notify", "http://127.0.0.1:9/x")
    assert done.exit_code == 0, done.exception
    assert asked == [[SECOND], True, "http://127.0.0.1:9/x"]


def test_the_end_of_a_run_names_failed_cells_and_their_logs(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(grid: GridConfig, cells: list[Cell], *rest: object) -> GridSummary:
        planned = make_plan(grid, cells)
        shell.record(SECOND).write_failure(Failure("user error", "NaN loss at step 3", 1, 0.0))
        return GridSummary(states={FIRST: "done", SECOND: "failed"}, planned=planned)

    monkeypatch.setattr(drive, "run_grid", run)
    done = shell("run", "--yes")
    assert done.exit_code == 1
    text = " ".join(done.stdout.split())
    assert "1 of 2 cells done" in text
    assert "user error: NaN loss at step 3" in text
    assert SECOND in text.partition("failed cells")[2]
    assert str(shell.record(SECOND).log) in text


def test_the_end_of_a_run_warns_of_what_is_not_in_mlflow(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = GridSummary(states={FIRST: "done"}, not_in_mlflow="not in MLflow yet: 3 records of 1 cell")
    monkeypatch.setattr(drive, "run_grid", lambda *_: summary)
    done = shell("run", "--yes")
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == "warning: not in MLflow yet: 3 records of 1 cell"


@pytest.mark.parametrize(("words", "states"), [((), ["due", "due"]), (("--yes",), [])])
def test_the_driver_gets_the_plan_that_was_shown(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], states: list[str]
) -> None:
    given: list[str] = []

    def run(grid: GridConfig, cells: list[Cell], view: object, options: drive.Options) -> GridSummary:
        given.extend(p.state for p in options.shown_plan)
        return GridSummary(states={FIRST: "done"})

    monkeypatch.setattr(drive, "run_grid", run)
    done = shell("run", *words)
    assert done.exit_code == 0, done.exception
    assert given == states
