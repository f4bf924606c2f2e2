"""Places of cells: which axes they vary, and whether their values are those of the grid's defaults."""

from pathlib import Path
from typing import Any

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.grid.positions import positions
from tests.support.small_grids import grid as small_grid
from uniferum.report.settings import GridPosition

AXES = {
    "lr": {"key": "optim.lr", "values": [3.0e-4, 1.0e-3]},
    "steps": {"values": {"short": {"training": {"steps": 10}}, "usual": {"training": {"steps": 20}}}},
    "width": {"key": "model.text.hidden", "values": [64, 96]},
}
DEFAULTS = {"optim": {"lr": 3.0e-4}, "training": {"steps": 20}}


def placed(root: Path, *entries: dict[str, Any], **changes: Any) -> dict[str, GridPosition]:
    cells = [{"text_encoder": "small", "train_on": "CTRATE", **entry} for entry in entries]
    grid = small_grid(root, cells=cells, axes=AXES, defaults=DEFAULTS, **changes)
    known = positions(grid, expand(grid, source="grid.yaml"))
    return {name.removeprefix("uniferum-small-CTRATE"): position for name, position in known.items()}


def test_a_value_is_at_the_defaults_if_it_changes_nothing(tmp_path: Path) -> None:
    known = placed(tmp_path, {"vary": ["lr", "steps"]}, folds=2)
    at_defaults = {name for name, position in known.items() if position.at_defaults}
    assert at_defaults == {"-lr3e-4-steps_usual-fold0", "-lr3e-4-steps_usual-fold1"}
    assert known["-lr1e-3-steps_short-fold1"].varied == {"lr": "1e-3", "steps": "short"}


def test_a_value_that_the_row_names_is_no_setting(tmp_path: Path) -> None:
    assert set(map(str, placed(tmp_path, {"vary": "width"}).values())) == {str(GridPosition())}


def test_an_override_of_a_value_belongs_to_the_value(tmp_path: Path) -> None:
    rule = {"when": {"lr": 3.0e-4}, "set": {"optim": {"warmup_steps": 100}}}
    assert not any(position.at_defaults for position in placed(tmp_path, {"vary": "lr"}, overrides=[rule]).values())


def test_entries_with_keys_or_names_of_their_own_are_known(tmp_path: Path) -> None:
    known = placed(tmp_path, {}, {"name": "long", "set": {"training": {"steps": 30}}})
    assert {name: position.own_keys for name, position in known.items()} == {"": False, "long": True}


def test_of_the_shipped_ablation_the_named_cells_are_at_the_defaults() -> None:
    grid = load_grid("configs/ablation_grid.yaml")
    known = positions(grid, expand(grid, source="configs/ablation_grid.yaml"))
    assert {"base", "labels18"} <= {name for name, position in known.items() if position.at_defaults}
    assert not any(position.at_defaults for name, position in known.items() if "-lr" in name or "-focal" in name)
