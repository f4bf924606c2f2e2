"""`--weights-dir` is passed to everything that loads weights; a wrong folder is an error."""

import os
from pathlib import Path

import pytest

from cli.weights import use
from uniferum.errors import UniferumError


def test_the_folder_is_passed_to_this_process_and_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFERUM_WEIGHTS_DIR", "before")
    use(tmp_path)
    assert os.environ["UNIFERUM_WEIGHTS_DIR"] == str(tmp_path)


def test_no_folder_leaves_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIFERUM_WEIGHTS_DIR", raising=False)
    use(None)
    assert "UNIFERUM_WEIGHTS_DIR" not in os.environ


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"--weights-dir \(.*absent\) must be a folder"):
        use(tmp_path / "absent")
