"""The parts of `uniferum tune` that need neither Ray nor data."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main
from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.search.config import load_search
from orchestration.search.description import join_study
from orchestration.search.run import SearchResult
from orchestration.search.study import open_study
from tests.support.small_searches import grid_with_axes, search_file
from uniferum.errors import UniferumError

DEMO = Path(__file__).resolve().parents[2] / "configs" / "searches" / "demo.yaml"


def test_the_dry_run_prints_the_demos_space_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main.app, ["tune", str(DEMO), "--dry-run"])
    assert done.exit_code == 0, done.output
    title, heads, *keys = done.stdout.splitlines()
    assert "16 trials" in title
    assert heads == "key\tvalues\tlog\twhen"
    assert "optim.warmup_steps" in [line.split("\t")[0] for line in keys]
    assert not list(tmp_path.iterdir())


def test_a_search_ends_with_its_best_values_and_their_grid_file_as_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = SearchResult(3, 1, 0.9, {"optim.lr": 0.001}, 60, tmp_path / "best.yaml", "sqlite:///study.db")
    monkeypatch.setattr("orchestration.search.run.run_search", lambda *given, **named: best)
    done = CliRunner().invoke(main.app, ["tune", str(search_file(tmp_path))])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "# best validation AUROC 0.9000 of 3 trials, 1 failed, 60 steps in all",
        "key\tvalue",
        "optim.lr\t0.001",
        str(tmp_path / "best.yaml"),
    ]
    assert "run it: uniferum grid run" in done.stderr


def test_axes_of_a_grid_file_are_a_search(tmp_path: Path) -> None:
    search_file(tmp_path, grid_with_axes())
    words = ["tune", str(tmp_path / "grid.yaml"), "--over", "lr, freeze", "--trials", "5", "--dry-run"]
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "# g-lr-freeze: 5 trials of uniferum-small-CTRATE-lr1e-4-freeze_true",
        "key\tvalues\tlog\twhen",
        "lr\t('1e-4', '1e-3')\tFalse\t",
        "freeze\t('true', 'false')\tFalse\t",
    ]
    done = CliRunner().invoke(main.app, ["tune", str(tmp_path / "search.yaml"), "--cell", "x"])
    assert isinstance(done.exception, UniferumError)
    assert "--cell (x) must be given with --over" in str(done.exception)


def test_the_best_trial_is_promoted_without_ray(tmp_path: Path) -> None:
    path = search_file(tmp_path)
    search = load_search(path)
    search.root.mkdir(parents=True)
    (tmp_path / "store" / "store.json").unlink()  # the stores are elsewhere, e.g. on the cluster
    study = open_study(search)
    join_study(study, search)
    for number in range(3):
        trial = study.ask()
        search.space(trial)
        study.tell(trial, 0.5 + number / 10)
    file = tmp_path / "grid.yaml"
    before = file.read_bytes()

    tried = CliRunner().invoke(main.app, ["tune", str(path), "--promote", "--dry-run"])
    assert tried.exit_code == 0, tried.output
    assert file.read_bytes() == before
    assert "would be added to" in tried.stderr

    done = CliRunner().invoke(main.app, ["tune", str(path), "--promote-as", "mine"])
    assert done.exit_code == 0, done.output
    assert f"uniferum grid run {file} --only mine" in done.stderr
    remark, name, *_ = (line.strip() for line in done.stdout.splitlines())
    assert (remark, name) == ("# best of 3 trials of s: validation AUROC 0.7000", "- name: mine")
    assert done.stdout in file.read_text()
    (mine,) = (cell for cell in expand(load_grid(file)) if cell.name == "mine")
    assert mine.config.optim.lr == study.best_params["optim.lr"]


def test_what_a_search_cannot_do_is_one_line_with_its_cure(tmp_path: Path) -> None:
    path = search_file(tmp_path, {"resources": {"workers": 2}})
    for words, cure in (([], "use a grid file with workers 1"), (["--address", "ray://h:1"], "workers 1")):
        done = CliRunner().invoke(main.app, ["tune", str(path), *words])
        assert isinstance(done.exception, UniferumError)
        assert cure in str(done.exception)
        assert "\n" not in str(done.exception)


def test_an_address_that_carries_no_search_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = search_file(tmp_path)
    done = CliRunner().invoke(main.app, ["tune", str(path), "--address", "ray://head:10001"])
    assert isinstance(done.exception, UniferumError)
    assert not (tmp_path / "runs").exists()
