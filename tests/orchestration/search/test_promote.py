"""The best trial in the grid file: added as text, everything else as before."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.search.config import Search, load_search
from orchestration.search.promote import promote, promotion
from tests.support.small_searches import AXES, search_file
from uniferum.errors import UniferumError
from uniferum.run.identity_keys import identity_of

BEST = {"lr": 0.0025, "size": "m"}
SPACE = {"lr": {"float": [1e-5, 1e-2], "log": True}, "size": "axis"}

LAYOUTS = {
    "block": """\
cells:                       # all of them
  - model: uniferum          # the paper's
    text_encoder: small
    train_on:
      - CTRATE               # the last line
  # a remark below the last cell

seeds: [0]                   # one seed
""",
    "without indentation, at the end": "cells:\n- {text_encoder: small, train_on: CTRATE}   # only one",
    "brackets": "cells: [{text_encoder: small, train_on: CTRATE}]  # only one\nseeds: [0]\n",
    "brackets over lines": "cells: [\n  {text_encoder: small, train_on: CTRATE},  # only one\n]\n",
    "a dash on its own line": (
        "cells:\n    -\n      text_encoder: small\n      train_on: >-\n        CTRATE\n\nseeds: [0]\n"
    ),
}


def _search(folder: Path, cells: str, *, end: str = "\n", **grid: Any) -> Search:
    """A search of a grid file whose cells are written in a given way."""
    changes = {"space": SPACE, "cell": {"train_on": "CTRATE"}, "set": {"training": {"validate_every": 7}}}
    path = search_file(folder, {"axes": AXES, **grid}, **changes)
    file = folder / "grid.yaml"
    keys = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key not in ("cells", "seeds")}
    seeds = "" if "seeds:" in cells else f"seeds: {grid.get('seeds', [0])}\n"
    text = f"# A grid of one cell.\n{yaml.safe_dump(keys)}{seeds}{cells}"
    file.write_bytes(text.replace("\n", end).encode())
    return load_search(path)


@pytest.mark.parametrize(
    ("layout", "end"),
    [*((layout, "\n") for layout in LAYOUTS), ("block", "\r\n"), ("brackets over lines", "\r\n")],
)
def test_the_cell_is_added_as_text_and_everything_else_stays(tmp_path: Path, layout: str, end: str) -> None:
    search = _search(tmp_path, LAYOUTS[layout], end=end)
    before, cells = search.grid_file.read_bytes().decode(), expand(search.grid)

    promoted = promotion(search, BEST, remark="best of 3 trials")
    assert search.grid_file.read_bytes().decode() == before, "a promotion alone writes nothing"
    promote(search, BEST, promoted)

    after = search.grid_file.read_bytes().decode()
    added = end.join(promoted.lines)
    assert added in after
    first, _, rest = after.partition(added)
    assert {first + rest, first + rest.removeprefix(end), first.removesuffix(", ") + rest} & {before, before + end}
    *others, new = expand(load_grid(search.grid_file))
    assert others == cells
    assert new.name == "s-best"
    assert identity_of(new.config) == identity_of(search.trial_config(BEST))
    assert (new.config.optim.lr, new.config.model.text.hidden, new.config.evaluate_on) == (0.0025, 64, ("CTRATE",))


def test_what_the_searched_cell_gets_from_its_entry_and_from_overrides_is_in_the_new_cell(tmp_path: Path) -> None:
    cells = "cells:\n  - {text_encoder: small, train_on: CTRATE, vary: [size], set: {training: {steps: 321}}}\n"
    rule = {"when": {"size": "m"}, "set": {"optim": {"weight_decay": 0.5}}}
    search = _search(tmp_path, cells, overrides=[rule])
    promote(search, BEST, promotion(search, BEST, name="mine"))
    new = next(cell for cell in expand(load_grid(search.grid_file)) if cell.name == "mine")
    assert (new.config.training.steps, new.config.training.validate_every) == (321, 7)
    assert new.config.optim.weight_decay == 0.5
    assert identity_of(new.config) == identity_of(search.trial_config(BEST))


def test_a_trial_that_is_a_cell_of_the_grid_adds_nothing(tmp_path: Path) -> None:
    cells = [{"text_encoder": "small", "train_on": "CTRATE", "vary": ["size"]}]
    search = load_search(
        search_file(tmp_path, {"axes": AXES, "cells": cells}, space={"size": "axis"}, cell={"model": "uniferum"})
    )
    promoted = promotion(search, {"size": "m"})
    assert (promoted.name, promoted.lines) == ("uniferum-small-CTRATE-size_m", ())


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    search = _search(tmp_path, LAYOUTS["block"])
    promote(search, BEST, promotion(search, BEST))
    before = search.grid_file.read_bytes()
    with pytest.raises(
        UniferumError, match=r"\(s-best\) must be a name that no cell has; give another one: --promote-as"
    ):
        promotion(search, {**BEST, "lr": 0.001})
    with pytest.raises(UniferumError, match=r"--promote-as \(a/b\) must be a name of letters"):
        promotion(search, BEST, name="a/b")
    assert search.grid_file.read_bytes() == before
    assert load_search(tmp_path / "search.yaml").cell == search.cell, "the search goes on after a promotion"


def test_an_entry_that_the_file_cannot_take_is_printed_to_be_added_by_hand(tmp_path: Path) -> None:
    search = _search(tmp_path, LAYOUTS["block"])
    promoted = promotion(search, BEST)
    text = promoted.text.replace("exclude: []", "exclude: [{size: s}]")
    before = search.grid_file.read_bytes()
    with pytest.raises(UniferumError, match=r"cannot take the new cell .* Add it by hand: - name: s-best") as caught:
        promote(search, BEST, type(promoted)(promoted.name, promoted.lines, text))
    assert "\n" not in str(caught.value)
    assert search.grid_file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
