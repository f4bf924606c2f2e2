"""What people read can be copied."""

from rich.console import Console

from cli import output


def test_a_name_in_the_first_column_is_not_broken_by_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setattr(output, "people", Console(width=60, stderr=True, highlight=False))
    output.table("flags", ["flag", "meaning"], [["orientation_doubtful", "the axes contradict the anatomy " * 4]])
    assert "orientation_doubtful" in capsys.readouterr().err
