"""Ctrl-C ends a command with exit code 130 and a hint to run it again."""

from pathlib import Path

import pytest

from cli import main


def test_an_interrupted_command_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("uniferum.data.cohorts.base.open_cohort", interrupted)
    monkeypatch.setattr("sys.argv", ["uniferum", "data", "card", "cohort.yaml"])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 130
    assert "interrupted; run the same command again" in capsys.readouterr().err


def test_a_fault_of_the_operating_system_is_one_line_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    cohort = tmp_path / "cohort.yaml"
    monkeypatch.setattr("uniferum.data.cohorts.base.open_cohort", lambda *a, **k: (tmp_path / "file" / "x").mkdir())
    monkeypatch.setattr("sys.argv", ["uniferum", "data", "card", str(cohort)])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 'file' / 'x'}: Not a directory")
    assert len(said.splitlines()) == 1
