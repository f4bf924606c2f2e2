"""Fixtures: a grid of two cells for the command line, without Ray or data."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from cli import output
from orchestration.grid.data_plan import DataPlan
from orchestration.ledger.ledger import Ledger
from tests.support.grid_shell import EVALUATION, FIRST, SECOND, TRAINING, Shell
from tests.support.small_grids import grid
from uniferum.run import identity


@pytest.fixture(autouse=True)
def pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output as in a pipe, where no line is wrapped: pytest-xdist sets the width of a terminal in its workers."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A grid of two cells, and a wide terminal."""
    made = grid(tmp_path, seeds=(0, 1), tracking={"enabled": False})
    file = tmp_path / "grid.yaml"
    written = made.model_dump(mode="json", exclude_none=True) | {"root": str(tmp_path / "not-here")}
    file.write_text(yaml.safe_dump(written))
    prints = SimpleNamespace(training=TRAINING, evaluation=EVALUATION)
    monkeypatch.setattr(identity.Reading, "fingerprints", lambda reading, config: prints)
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
