"""The commands of `uniferum grid` that need neither Ray nor data."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main, output
from tests.support.grid_shell import Shell
from uniferum.errors import UniferumError
from uniferum.run import identity

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PAPER = str(CONFIGS / "paper_grid.yaml")


def test_the_dry_run_of_the_paper_grid_prints_its_16_cells_without_any_store(tmp_path: Path) -> None:
    stores = "stores={CTRATE: absent/c, INSPECT: absent/i, RADCHEST: absent/r, LUNA16: absent/l}"
    done = CliRunner().invoke(
        main.app, ["grid", "run", PAPER, "--dry-run", "--set", stores, "--set", f"root={tmp_path / 'runs'}"]
    )
    assert done.exit_code == 0, done.output
    assert "16 no data" in done.output
    assert "25,000" in done.output
    assert "10,000" in done.output
    assert not (tmp_path / "runs").exists(), "a dry run makes nothing"


def test_the_plan_of_the_paper_grid_shows_the_hours_of_both_recipes(tmp_path: Path) -> None:
    done = CliRunner().invoke(main.app, ["grid", "plan", PAPER, "--set", f"root={tmp_path / 'runs'}"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "recipe of paper: 64 rows a step, 8 a micro-batch; 1 row a volume; fp32 (TF32: convolutions)" in done.output
    assert "recipe of paper-fast: 24 volumes a step, 8 a micro-batch; up to 4 rows a volume; bf16" in done.output
    hours = [line for line in lines if "GPU-hours left" in line]
    assert len(hours) == 2
    assert all("of them as declared, not measured" in line for line in hours)
    assert hours[1].startswith("paper-fast (")


def test_a_plan_in_a_pipe_is_one_line_a_cell_and_in_json_one_object(tmp_path: Path) -> None:
    words = ["grid", "plan", PAPER, "--set", f"root={tmp_path / 'runs'}"]
    heads, *lines = CliRunner().invoke(main.app, words).stdout.splitlines()
    assert heads.split("\t") == ["cell", "state", "steps", "GPU-hours", "why"]
    cells = json.loads(CliRunner().invoke(main.app, [*words, "--format", "json"]).stdout)
    assert [line.split("\t")[0] for line in lines] == [cell["cell"] for cell in cells]
    assert all(list(cell) == ["cell", "state", "steps", "hours", "measured", "why"] for cell in cells)
    assert {cell["measured"] for cell in cells} == {False}


def test_a_plan_has_a_line_for_each_fold_and_names_the_ensembles(tmp_path: Path) -> None:
    over = ["--set", f"root={tmp_path / 'runs'}", "--set", "folds=5"]
    ensembles = "ensembles=[{name: ens, of: cnn-INSPECT, over: folds}, {name: all, cells: [cnn-*]}]"
    words = ["grid", "plan", PAPER, *over, "--set", ensembles, "--only", "fold=2,model=cnn"]
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 0, done.output
    cells = [line.split("\t")[0] for line in done.stdout.splitlines()[1:]]
    assert cells
    assert all(name.endswith("-fold2") for name in cells)
    assert "ensemble ens: 0 of 5 members are done" in done.output
    refused = CliRunner().invoke(main.app, ["grid", "plan", PAPER, *over, "--set", ensembles.replace("cnn-I", "cnn-J")])
    assert isinstance(refused.exception, UniferumError)
    assert "paper_grid.yaml: ensembles.0: of (cnn-JNSPECT) must be the name of at least two" in str(refused.exception)


def test_another_recipe_that_is_not_there_is_named(tmp_path: Path) -> None:
    changed = ["--set", f"root={tmp_path / 'runs'}", "--set", "other_recipes=[absent.yaml]"]
    done = CliRunner().invoke(main.app, ["grid", "plan", PAPER, *changed])
    assert isinstance(done.exception, UniferumError)
    assert "absent.yaml must exist" in str(done.exception)


def test_one_cell_can_be_chosen(tmp_path: Path) -> None:
    done = CliRunner().invoke(main.app, ["grid", "run", PAPER, "--dry-run", "--only", "cnn-INSPECT"])
    assert done.exit_code == 0
    assert "paper: 1 cells" in done.output


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["grid", "run", "absent.yaml"], "check the path"),
        (["grid", "run", PAPER, "--set", "rot=x"], "did you mean 'root'"),
        (["grid", "run", PAPER, "--only", "cnn-INSPCT", "--dry-run"], "did you mean 'cnn-INSPECT'"),
        (["grid", "run", PAPER, "--yes", "--address", "ray://head:10001"], "uniferum grid submit"),
        (["grid", "cancel", PAPER], "one cell, or --all"),
        (["grid", "logs", PAPER, "cnn-INSPECT"], "uniferum grid status"),
        (["grid", "submit", PAPER, "--address", "head:8265"], "http://HEAD:8265"),
        (["tune", "absent.yaml"], "check the path"),
    ],
)
def test_bad_input_is_one_line_with_its_cure(words: list[str], cure: str, tmp_path: Path) -> None:
    settings = ["--set", f"root={tmp_path / 'runs'}"] if words[1] == "run" else []
    done = CliRunner().invoke(main.app, [*words, *settings])
    assert isinstance(done.exception, UniferumError)
    assert cure in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_long_table_is_plain_columns_one_line_a_row_whatever_the_terminal_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "a name that no narrow terminal holds " * 5
    output.table("grid: many", ("cell", "step", "note"), [(long, 1, None), *((f"c{n}", n, "[x]") for n in range(200))])
    title, heads, rule, first, second, *rest = capsys.readouterr().err.splitlines()
    assert (title, heads.split(), len(rest)) == ("grid: many", ["cell", "step", "note"], 199)
    assert rule.startswith("-" * len(long) + "  ----  ----")
    assert first == f"{long}  1"
    assert second == "c0".ljust(len(long)) + "  0     [x]"


def test_a_plan_says_once_of_which_cohort_training_scans_are_left_out(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "CTRATE: 4 of 12 training scans are left out, flagged wrong_hu (data.on_wrong_hu: exclude)"
    monkeypatch.setattr(identity.Reading, "left_out", lambda reading, config: [said])
    monkeypatch.setattr("orchestration.grid.plan.missing_stores", lambda cell, stores: [])
    assert shell("plan").stderr.count(said) == 1


def test_a_plan_takes_cells_by_their_values(shell: Shell) -> None:
    axes = "axes={lr: {key: optim.lr, values: [5.0e-5, 1.0e-4]}}"
    cells = "cells=[{text_encoder: small, train_on: CTRATE, vary: lr}]"
    done = shell("plan", "--set", axes, "--set", cells, "--only", "lr=1e-4,seed=0", "--format", "json")
    (cell,) = json.loads(done.stdout)
    assert (cell["cell"], cell["axes"]) == ("uniferum-small-CTRATE-lr1e-4", {"lr": "1e-4"})


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("axes={lr: {key: optim.lrr, values: [1]}}", "axes.lr: key (optim.lrr) must be a key of a run"),
        ("cells=[{text_encoder: small, train_on: CTRATE, vary: rate}]", "cells.0: vary or zip (rate)"),
        ("exclude=[{train_on: CTRATE+SEG}]", "exclude.0 (train_on=CTRATE+SEG) must fit at least one cell"),
        ("exclude=[{train_on: INSPECT}]", "exclude.0: train_on (INSPECT) must be a training mix of cohorts"),
    ],
)
def test_a_wrong_axis_ends_with_exit_code_2_and_one_line_with_the_file(
    shell: Shell, setting: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["uniferum", "grid", "plan", str(shell.file), "--set", setting])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{shell.file}: {words}" in line
