"""Names, fingerprints and folders of the cells of the shipped grids stay, so that finished cells stay finished.

The stores are replaced by one line of text each: only the files in ``configs/`` and the code decide these fingerprints.
``UNIFERUM_REWRITE=1 pytest FILE`` writes them anew; do it only for a change that must train cells again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestration.grid.cells import expand
from orchestration.grid.config import load_grid
from orchestration.grid.records import cell_folder
from uniferum.run import identity

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
RECORDED = Path(__file__).parent / "shipped_cells.json"


@dataclass(frozen=True)
class Words:
    """A vocabulary without prompts."""

    structures: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def of_cohort(self, name: str) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Store:
    """The content of a store, in one line."""

    name: str
    vocabulary = Words()

    def for_training(self, policy: str, folds: object = None) -> "Store":
        return self

    def digest(self, split: str) -> str:
        return f"{self.name} {split}"


def shipped(path: Path) -> dict[str, list[str]]:
    """Folder and fingerprints of each cell of a grid file."""
    grid = load_grid(path)
    reading = identity.Reading(grid.stores)
    cells: dict[str, list[str]] = {}
    for cell in expand(grid, source=str(path)):
        prints = reading.fingerprints(cell.config)
        cells[cell.name] = [cell_folder(Path(), cell.name, prints.training).name, prints.training, prints.evaluation]
    return cells


@pytest.mark.parametrize("name", json.loads(RECORDED.read_text()) if RECORDED.exists() else [])
def test_the_cells_of_a_shipped_grid_keep_names_fingerprints_and_folders(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "read_content", lambda stores, cohort: Store(cohort))
    monkeypatch.setattr(identity, "refuse_flagged", lambda cohort, split, policy: None)
    cells = shipped(CONFIGS / name)
    recorded = json.loads(RECORDED.read_text())
    if os.environ.get("UNIFERUM_REWRITE"):
        RECORDED.write_text(json.dumps({**recorded, name: cells}, indent=1) + "\n")
    assert list(cells.items()) == list(json.loads(RECORDED.read_text())[name].items())
