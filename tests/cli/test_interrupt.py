"""Ctrl-C ends a command with exit code 130, and says that the same command goes on."""

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
    assert "interrupted; the same command goes on" in capsys.readouterr().err
