"""The parts of `uniferum tune` that need neither Ray nor data."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main
from tests.support.small_searches import search_file
from uniferum.errors import UniferumError

DEMO = Path(__file__).resolve().parents[2] / "configs" / "searches" / "demo.yaml"


def test_the_dry_run_prints_the_demos_space_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main.app, ["tune", str(DEMO), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "optim.warmup_steps" in done.output
    assert "16 trials" in done.output
    assert not list(tmp_path.iterdir())


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
