"""Protocol lines on the input of cells."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.written_cells import write_cell
from uniferum.report.read_records import from_folders
from uniferum.report.records import CellRecord
from uniferum.report.tables.inputs import input_lines
from uniferum.report.tables.protocol import protocol_lines

PAPER = {"level": "train", "shape": [256, 160, 128], "spacing_mm": [1.5, 2.0, 2.0]}
OWN = PAPER | {"own": {"shape": [420, 420, 402], "spacing_mm": [0.8, 0.8, 0.8]}, "coarser": "xyz", "smaller": "yz"}


def _cell(root: Path, mix: str, given: dict[str, Any] | None) -> CellRecord:
    folder = write_cell(root, mix)
    (record,) = [one for one in from_folders(root) if one.folder == folder]
    return replace(record, result={**record.result, **({"input": given} if given else {})})


def test_level_and_grid_are_said_and_what_a_system_with_its_own_grid_was_not_given(tmp_path: Path) -> None:
    paper, own = _cell(tmp_path, "CTRATE", PAPER), _cell(tmp_path, "INSPECT", OWN)
    first = "Input: 256 x 160 x 128 voxels of 1.5 x 2 x 2 mm from the training level"
    assert input_lines([paper]) == [f"{first}."]
    second = (
        f"{first}, resampled to the system's own 420 x 420 x 402 voxels of 0.8 x 0.8 x 0.8 mm; it is COARSER than that "
        "along x, y, z; it covers less of the body along y, z, the rest is air"
    )
    assert input_lines([paper, own]) == [
        f"{first} (1 of 2 cells, e.g. {paper.name}).",
        f"{second} (1 of 2 cells, e.g. {own.name}).",
    ]
    assert input_lines([paper])[0] in protocol_lines([paper], [("CTRATE", "all")], "auroc")


def test_a_finer_input_of_the_full_level_is_not_called_coarse(tmp_path: Path) -> None:
    given = OWN | {"level": "full", "coarser": "", "smaller": ""}
    (said,) = input_lines([_cell(tmp_path, "CTRATE", given)])
    assert "from the level full, resampled to" in said
    assert "COARSER" not in said


def test_records_of_older_versions_say_nothing(tmp_path: Path) -> None:
    assert input_lines([_cell(tmp_path, "CTRATE", None)]) == []
