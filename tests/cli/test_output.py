"""Tables: names that can be copied on a narrow terminal, lines for a pipe, objects for a script."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import live, main, output, tables
from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.ledger.status import COLUMNS, StatusRow

PAPER = Path(__file__).resolve().parents[2] / "configs" / "paper_grid.yaml"
NAMES = [cell.name for cell in expand(load_grid(PAPER), source=str(PAPER))]


def drawn(renderable: object, width: int) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable, crop=False)
    return capture.get().splitlines()


def test_a_name_in_the_first_column_is_not_broken_by_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setattr(output, "people", Console(width=60, stderr=True, highlight=False))
    output.table("flags", ["flag", "meaning"], [["orientation_doubtful", "the axes contradict the anatomy " * 4]])
    assert "orientation_doubtful" in capsys.readouterr().err


@pytest.mark.parametrize("note", ["", "silent for 2 min 05 s; " * 8])
def test_on_80_columns_no_name_of_the_paper_grid_and_no_word_is_broken(note: str) -> None:
    rows = [StatusRow(name, "training", 12000, 25000, 1.234, 0.8123, 86000.0, note) for name in NAMES]
    lines = drawn(live.drawn("paper", rows, "16 training", 80), 80)
    assert all(len(line.rstrip()) <= 80 for line in lines)
    text = "\n".join(lines)
    assert all(text.count(f"{name}\n") or text.count(f"{name} ") for name in NAMES)
    assert text.count("training") == 17
    assert text.count("12000 / 25000") == text.count("23 h 53 min") == 16


def test_a_wide_terminal_has_one_line_a_row() -> None:
    rows = [[name, "no data", "25,000"] for name in NAMES]
    lines = drawn(tables.draw("paper", ["cell", "state", "steps"], rows, 80), 80)
    assert all(sum(f" {name} " in line and "no data" in line for line in lines) == 1 for name in NAMES)


def test_empty_columns_are_left_out_before_names_get_lines_of_their_own() -> None:
    rows = [["n" * 40, "no data", "", "", "data absent: CTRATE"]]
    lines = drawn(tables.draw("paper", ["cell", "state", "volumes/s", "metric", "note"], rows, 80), 80)
    assert "volumes/s" not in "".join(lines)
    assert any("n" * 40 in line and "no data" in line for line in lines)


def test_a_name_longer_than_the_terminal_is_whole() -> None:
    name = "n" * 100
    assert name in drawn(tables.draw("t", ["cell", "state"], [[name, "due"]], 80), 80)


def test_a_piped_listing_is_tab_separated_with_its_title_on_standard_error(capsys) -> None:
    output.listing("grid: 2 cells", ["cell", "why"], [["a", "line\nbreak\tand tab"], ["b", None]])
    captured = capsys.readouterr()
    assert captured.out == "cell\twhy\na\tline break and tab\nb\t\n"
    assert captured.err == "grid: 2 cells\n"


def test_a_listing_on_a_terminal_is_a_table_with_its_title(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    output.listing("grid: 1 cell", ["cell", "why"], [["[a]", "x"]])
    captured = capsys.readouterr()
    assert "grid: 1 cell" in captured.out
    assert "[a]" in captured.out
    assert captured.err == ""


def test_a_listing_as_json_is_an_array_of_objects(capsys) -> None:
    output.listing("t", ["cell", "why"], [["a", "x"]], "json")
    output.listing("t", ["cell"], [["a"]], "json", objects=[{"cell": "a", "steps": 3}])
    first, second = capsys.readouterr().out.split("]\n", 1)
    assert json.loads(f"{first}]") == [{"cell": "a", "why": "x"}]
    assert json.loads(second) == [{"cell": "a", "steps": 3}]


def test_several_listings_name_their_tables(capsys) -> None:
    several = [("one", ["a"], [["1"]]), ("two", ["b"], [])]
    output.listings(several)
    assert capsys.readouterr().out == "# one\na\n1\n# two\nb\n"
    output.listings(several, "json")
    assert json.loads(capsys.readouterr().out) == [{"title": "one", "rows": [{"a": "1"}]}, {"title": "two", "rows": []}]


def test_a_row_of_the_status_has_the_same_keys_whatever_is_known() -> None:
    full = StatusRow("a", "training", 1, 2, 0.5, 0.75, 61.0, "n")
    assert list(full.to_dict()) == list(StatusRow("b", "due").to_dict())
    assert full.to_dict()["seconds_left"] == 61.0
    assert len(full.texts) == len(COLUMNS)


def test_where_cells_are_as_wide_as_the_terminal_each_has_its_heading_and_is_whole() -> None:
    rows = [["optim.lr", "5.0e-5", "released"], ["text.name", "x" * 70, "paper 3.6, by its hub id"]]
    lines = [line.strip() for line in drawn(tables.draw("values", ["key", "value", "source"], rows, 80), 80)]
    assert f"value: {'x' * 70}" in lines
    assert "source: paper 3.6, by its hub id" in lines


def test_the_sources_of_a_grid_s_values_are_a_listing() -> None:
    shown = CliRunner().invoke(main.app, ["grid", "plan", str(PAPER), "--sources"])
    assert shown.exit_code == 0
    assert "training.batch\t64\tpaper 3.6\tbase.yaml" in shown.stdout.splitlines()
