"""Places of cells: which axes they vary, and whether their values are those of the grid's defaults."""

from pathlib import Path
from typing import Any

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.grid.places import places
from tests.support.small_grids import grid as small_grid
from uniferum.report.settings import Place

AXES = {
    "lr": {"key": "optim.lr", "values": [3.0e-4, 1.0e-3]},
    "steps": {"values": {"short": {"training": {"steps": 10}}, "usual": {"training": {"steps": 20}}}},
    "width": {"key": "model.text.hidden", "values": [64, 96]},
}
DEFAULTS = {"optim": {"lr": 3.0e-4}, "training": {"steps": 20}}


def placed(root: Path, *entries: dict[str, Any], **changes: Any) -> dict[str, Place]:
    cells = [{"text_encoder": "small", "train_on": "CTRATE", **entry} for entry in entries]
    grid = small_grid(root, cells=cells, axes=AXES, defaults=DEFAULTS, **changes)
    found = places(grid, expand(grid, source="grid.yaml"))
    return {name.removeprefix("uniferum-small-CTRATE"): place for name, place in found.items()}


def test_a_value_is_at_the_defaults_if_it_changes_nothing(tmp_path: Path) -> None:
    found = placed(tmp_path, {"vary": ["lr", "steps"]}, folds=2)
    at_defaults = {name for name, place in found.items() if place.at_defaults}
    assert at_defaults == {"-lr3e-4-steps_usual-fold0", "-lr3e-4-steps_usual-fold1"}
    assert found["-lr1e-3-steps_short-fold1"].varied == {"lr": "1e-3", "steps": "short"}


def test_a_value_that_the_row_names_is_no_setting(tmp_path: Path) -> None:
    assert set(map(str, placed(tmp_path, {"vary": "width"}).values())) == {str(Place())}


def test_an_override_of_a_value_belongs_to_the_value(tmp_path: Path) -> None:
    rule = {"when": {"lr": 3.0e-4}, "set": {"optim": {"warmup_steps": 100}}}
    assert not any(place.at_defaults for place in placed(tmp_path, {"vary": "lr"}, overrides=[rule]).values())


def test_entries_with_keys_or_names_of_their_own_are_known(tmp_path: Path) -> None:
    found = placed(tmp_path, {}, {"name": "long", "set": {"training": {"steps": 30}}})
    assert {name: place.own_keys for name, place in found.items()} == {"": False, "long": True}


def test_of_the_shipped_ablation_the_named_cells_are_at_the_defaults() -> None:
    grid = load_grid("configs/ablation_grid.yaml")
    found = places(grid, expand(grid, source="configs/ablation_grid.yaml"))
    assert {"base", "labels18"} <= {name for name, place in found.items() if place.at_defaults}
    assert not any(place.at_defaults for name, place in found.items() if "-lr" in name or "-focal" in name)
