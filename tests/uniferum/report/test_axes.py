"""Cells that differ in one axis or one key, and the order of its values."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.written_cells import write_cell
from uniferum.errors import UniferumError
from uniferum.report.axes import GridAxis, axis_names, find_varied, order_of, values_in_order
from uniferum.report.read_records import from_folders, read_cell
from uniferum.report.records import CellRecord, PendingCell
from uniferum.report.unfinished import unfinished


@pytest.fixture(scope="module")
def records(ablation_root: Path) -> list[CellRecord]:
    return from_folders(ablation_root)


@pytest.mark.parametrize("name", ["lr", "optim.lr"])
def test_cells_that_differ_in_an_axis_or_its_key_alone_are_found(records: list[CellRecord], name: str) -> None:
    varied = find_varied(name, records)
    assert varied.values == ("5e-5", "1e-4", "3e-4")
    assert {one.title for one in varied.settings} == {
        f"uniferum pubmedbert CTRATE, freeze={w}" for w in ("true", "false")
    }
    for setting in varied.settings:
        for value in varied.values:
            cells = setting.records(value)
            assert sorted(cells) == [(seed, -1) for seed in (0, 1, 2)]
            assert {one.axes["lr"] for one in cells.values()} == {value}
            assert len({one.axes["freeze"] for of in setting.cells.values() for one in of}) == 1


def test_a_key_of_an_axis_of_the_grid_means_the_axis(records: list[CellRecord]) -> None:
    axes = {"lr": GridAxis(("3e-4", "5e-5", "1e-4"), "optim.lr")}
    assert find_varied("optim.lr", records, axes).name == "lr"


def test_values_are_sorted_as_the_grid_lists_them_and_as_numbers_without_it(records: list[CellRecord]) -> None:
    assert order_of(records, "lr") == ["5e-5", "1e-4", "3e-4"]
    assert order_of(records, "lr", {"lr": GridAxis(("3e-4", "5e-5", "1e-4"))}) == ["3e-4", "5e-5", "1e-4"]
    assert order_of(records, "training.batch") == ["8"]
    assert values_in_order(["10", "9", "100"]) == ["9", "10", "100"]
    assert values_in_order(["true", "false"], ("true", "false")) == ["true", "false"]
    assert values_in_order(["1e-4", "5e-5", "3e-4"], ("5e-5", "3e-4")) == ["5e-5", "1e-4", "3e-4"]
    assert values_in_order(["c", "a", "b"], ("b", "a")) == ["b", "a", "c"]


def test_axes_of_the_grid_come_first(records: list[CellRecord]) -> None:
    assert axis_names(records) == ["lr", "freeze"]
    assert axis_names(records, {"other": GridAxis(("a",)), "freeze": GridAxis(("true",))}) == ["freeze", "lr"]


def test_a_base_is_found_in_any_form_and_an_unknown_one_is_refused(records: list[CellRecord]) -> None:
    varied = find_varied("lr", records)
    assert [varied.base(text) for text in (None, "0.0001", "1e-4", "3.0E-4")] == ["5e-5", "1e-4", "1e-4", "3e-4"]
    with pytest.raises(UniferumError, match=r"--base \(2e-4\) must be a value of lr; the cells have 5e-5, 1e-4, 3e-4"):
        varied.base("2e-4")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lrr", "did you mean 'lr'.*axes: lr, freeze"),
        ("optim.rl", "did you mean 'optim.lr'"),
        ("optim", "must be an axis of the grid or a key of a run"),
        ("seed", "means are over seeds"),
        ("training.batch", "must be varied by cells that differ in nothing else"),
    ],
)
def test_what_is_no_axis_is_refused_with_what_there_is(records: list[CellRecord], name: str, message: str) -> None:
    with pytest.raises(UniferumError, match=message):
        find_varied(name, records)


def test_a_cell_that_nothing_can_be_compared_with_is_named(tmp_path: Path, records: list[CellRecord]) -> None:
    lonely = read_cell(write_cell(tmp_path, "INSPECT", axes={"lr": "1e-4"}, draws=2))
    varied = find_varied("lr", [*records, lonely])
    assert varied.single == ("uniferum-pubmedbert-INSPECT-lr1e-4",)
    assert len(varied.settings) == 2


def test_the_same_values_under_a_name_of_their_own_are_another_setting(records: list[CellRecord]) -> None:
    named = [replace(one, name=one.name.replace("uniferum-pubmedbert-CTRATE", "long")) for one in records]
    varied = find_varied("lr", [*records, *named])
    assert len(varied.settings) == 4
    assert len({one.title for one in varied.settings}) == 4


def test_a_cell_at_the_default_value_belongs_to_the_axis(records: list[CellRecord]) -> None:
    cells = [replace(one, name=one.name.replace("-lr1e-4", "")) if one.axes["lr"] == "1e-4" else one for one in records]
    varied = find_varied("lr", cells)
    assert [sorted(one.cells) for one in varied.settings] == [["1e-4", "3e-4", "5e-5"]] * 2


@pytest.mark.parametrize(("key", "base"), [("optim.lr", "1e-4"), (None, "-")])
def test_a_cell_with_a_name_of_its_own_belongs_to_the_axis_around_it(
    records: list[CellRecord], key: str | None, base: str
) -> None:
    """Its config decides; of an axis of bundles it has no value."""
    cells = []
    for one in records:
        if one.axes["lr"] != "1e-4":
            cells.append(one)
        elif one.axes["freeze"] == "true":
            axes = {"freeze": "true"} if key is None else one.axes
            cells.append(replace(one, name="base" + f"-seed{one.seed}" * bool(one.seed), axes=axes))
    varied = find_varied("lr", cells, {"lr": GridAxis(("5e-5", "1e-4", "3e-4"), key, ("optim.lr",))})
    around, other = varied.settings
    assert set(around.cells) == {"5e-5", base, "3e-4"}
    assert {one.name for one in around.records(base).values()} == {"base", "base-seed1", "base-seed2"}
    assert set(other.cells) == {"5e-5", "3e-4"}
    assert varied.single == ()
    assert varied.base(base) == base
    assert varied.base(None) == "5e-5", "a value with a name, also beside cells without a value"


def test_an_unfinished_cell_has_its_axes_and_its_config(tmp_path: Path) -> None:
    write_cell(tmp_path, axes={"lr": "1e-4"}, done=False, sections={"optim": {"lr": 1e-4}})
    (cell,) = unfinished(tmp_path)
    assert isinstance(cell, PendingCell)
    assert cell.axes == {"lr": "1e-4"}
    assert order_of([cell], "optim.lr") == ["1e-4"]
