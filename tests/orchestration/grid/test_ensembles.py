"""Members of the ensembles of a grid file, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.grid.cells import expand
from orchestration.grid.config import EnsembleConfig, load_grid
from orchestration.grid.ensembles import ensemble_lines, ensemble_members
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState
from tests.support.small_grids import grid as small_grid
from uniferum.config import parse
from uniferum.errors import UniferumError

CELL = "uniferum-small-CTRATE"


def members_of(root: Path, *ensembles: dict[str, Any], **changes: Any) -> dict[str, list[str]]:
    named = [{"name": f"ens{at}", **one} for at, one in enumerate(ensembles)]
    grid = small_grid(root, **{"seeds": [0, 1], "folds": 2, "ensembles": named, **changes})
    members = ensemble_members(grid, expand(grid), source="grid.yaml")
    return {name: [cell.name.removeprefix(CELL) for cell in cells] for name, cells in members.items()}


@pytest.mark.parametrize(
    ("keys", "members"),
    [
        ({"of": f"{CELL}-fold1", "over": "seeds"}, ["-fold1", "-fold1-seed1"]),
        ({"of": CELL, "over": "folds"}, ["-fold0", "-fold1"]),
        ({"of": f"{CELL}-seed1", "over": "folds"}, ["-fold0-seed1", "-fold1-seed1"]),
        ({"of": CELL, "over": ["seeds", "folds"]}, ["-fold0", "-fold1", "-fold0-seed1", "-fold1-seed1"]),
        ({"cells": [f"{CELL}-fold0", "*seed1"]}, ["-fold0", "-fold0-seed1", "-fold1-seed1"]),
    ],
)
def test_members_are_seeds_folds_or_named_cells(tmp_path: Path, keys: dict[str, Any], members: list[str]) -> None:
    assert members_of(tmp_path, keys) == {"ens0": members}


def test_seeds_of_a_cell_are_members_whatever_their_numbers(tmp_path: Path) -> None:
    keys = {"of": CELL, "over": "seeds"}
    assert members_of(tmp_path, keys, folds=None, seeds=[3, 5]) == {"ens0": ["-seed3", "-seed5"]}


BOTH = [
    {"text_encoder": "small", "train_on": "CTRATE"},
    {"name": "other", "text_encoder": "small", "train_on": "INSPECT", "evaluate_on": ["INSPECT"]},
]
NESTED = {"folds": {"count": 3, "nested": True}}


@pytest.mark.parametrize(
    ("keys", "changes", "said"),
    [
        ({"of": f"{CELL}s", "over": "folds"}, {}, f"ensembles.0: of ({CELL}s) must be the name of at least two cells"),
        ({"of": CELL, "over": "folds"}, {"folds": None}, "not of 0; the grid has no folds"),
        ({"of": f"{CELL}-fold0", "over": "seeds"}, {"seeds": [0]}, "without their seeds, not of 1"),
        ({"cells": ["uniferm-*"]}, {}, "ensembles.0: cells (uniferm-*) must be the name of a cell, or a pattern"),
        ({"cells": [f"{CELL}-fold0"]}, {}, "must name at least two cells"),
        ({"name": f"{CELL}-fold0", "cells": ["*"]}, {}, "must have a name of its own; a cell has it"),
        ({"name": "e..f", "cells": ["*"]}, {}, "ensembles.0: name (e..f) must be a name for a folder, but it has '..'"),
        ({"of": CELL, "over": "folds"}, NESTED, "are tested on different folds of CTRATE"),
        ({"cells": ["*"]}, {"cells": BOTH, "folds": None},
         f"(ens0) ({CELL} on CTRATE, other on INSPECT) must have members that are tested on the same cohorts"),
    ],
)  # fmt: skip
def test_a_wrong_ensemble_is_one_line(tmp_path: Path, keys: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    stores = {"CTRATE": tmp_path / "store", "INSPECT": tmp_path / "store"}
    with pytest.raises(UniferumError) as caught:
        members_of(tmp_path, keys, stores=stores, **changes)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_ensembles_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match="another ensemble has it"):
        members_of(tmp_path, {"name": "e", "cells": ["*"]}, {"name": "e", "cells": ["*"]})


@pytest.mark.parametrize("keys", [{"of": CELL}, {"over": "seeds"}, {"of": CELL, "over": "seeds", "cells": ["*"]}, {}])
def test_an_ensemble_has_either_a_cell_or_cells(keys: dict[str, Any]) -> None:
    with pytest.raises(UniferumError, match=r"have of with over \(seeds, folds\), or cells"):
        parse(EnsembleConfig, {"name": "e", **keys}, source="ensembles.0")


def test_the_plan_counts_the_members_that_are_done(tmp_path: Path) -> None:
    grid = small_grid(tmp_path, folds=2, ensembles=[{"name": "ens", "of": CELL, "over": "folds"}])
    cells = expand(grid)
    states = (PlanState.DONE, PlanState.DUE)
    planned = [PlannedCell(cell, state, "", None, None, None, None) for cell, state in zip(cells, states, strict=True)]
    lines = ensemble_lines(grid, cells, planned)
    assert lines == ["ensemble ens: 1 of 2 members are done; the report averages their logits"]
    assert ensemble_lines(grid, cells, []) == []


def test_the_grid_file_of_the_documentation_has_the_cells_that_its_page_says(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs/how-to/folds.md").read_text(encoding="utf-8")
    path = tmp_path / "grid.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    grid = load_grid(path)
    cells = expand(grid)
    assert f"The grid above has {len(cells)} cells" in " ".join(page.split())
    assert {name: len(members) for name, members in ensemble_members(grid, cells).items()} == {
        "ens-folds": 5,
        "ens-all": 10,
        "ens-two": 2,
    }
