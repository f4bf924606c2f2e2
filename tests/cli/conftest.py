"""Fixtures: a grid of two cells for the command line, without Ray or data."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import main, output
from orchestration.grid.config import GridConfig
from orchestration.grid.data_plan import DataPlan
from orchestration.grid.records import CellFolder, cell_folder
from orchestration.ledger.ledger import Ledger
from tests.orchestration.worlds import grid
from uniferum.run import identity

TRAINING, EVALUATION = "aaaaaaaa11111111", "bbbbbbbb22222222"
FIRST, SECOND = "uniferum-small-CTRATE", "uniferum-small-CTRATE-seed1"


class Shell:
    """Runs `uniferum grid VERB FILE ... --set root=...`; the file itself names another root."""

    def __init__(self, grid: GridConfig, file: Path) -> None:
        self.grid, self.file = grid, file

    def __call__(self, verb: str, *words: str) -> Result:
        arguments = ["grid", verb, str(self.file), *words, "--set", f"root={self.grid.root}"]
        return CliRunner().invoke(main.app, arguments)

    def record(self, cell: str = FIRST) -> CellFolder:
        """Create the folder of a cell, and return its record."""
        folder = cell_folder(self.grid.cells_folder, cell, TRAINING)
        folder.mkdir(parents=True, exist_ok=True)
        return CellFolder(folder)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A grid of two cells, and a wide terminal."""
    made = grid(tmp_path, seeds=(0, 1), tracking={"enabled": False})
    file = tmp_path / "grid.yaml"
    written = made.model_dump(mode="json", exclude_none=True) | {"root": str(tmp_path / "not-here")}
    file.write_text(yaml.safe_dump(written))
    found = SimpleNamespace(training=TRAINING, evaluation=EVALUATION)
    monkeypatch.setattr(identity.Reading, "fingerprints", lambda reading, config: found)
    monkeypatch.setattr(identity.Reading, "left_out", lambda reading, config: ())
    monkeypatch.setattr(DataPlan, "cohort_rows", lambda data: [])
    monkeypatch.setattr(DataPlan, "lines", lambda data, counted: [])
    monkeypatch.setattr(DataPlan, "refuse", lambda data, counted=None: None)
    monkeypatch.setattr(output.people, "_width", 400)
    return Shell(made, file)


@pytest.fixture
def driver(shell: Shell) -> Iterator[Ledger]:
    """A running driver with both cells."""
    ledger = Ledger.of(shell.grid)
    ledger.take_lease()
    for name in (FIRST, SECOND):
        ledger.note(name, "pending", folder=str(shell.record(name).folder))
    yield ledger
    ledger.close()
