"""Commands of `uniferum grid` on a small grid, as another shell gives them."""

from pathlib import Path

from typer.testing import CliRunner, Result

from cli import main
from orchestration.grid.config import GridConfig
from orchestration.grid.records import CellFolder, cell_folder

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
