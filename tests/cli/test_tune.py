"""The parts of `uniferum tune` that need neither Ray nor data."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main
from orchestration.search.run import SearchResult
from tests.support.small_searches import search_file
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
