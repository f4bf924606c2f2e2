"""Read the records of cells from their folders.

A cell is done if its folder has a result; what its other files say is read when it is asked for
(:class:`uniferum.report.records.CellRecord`).
"""

import json
from pathlib import Path
from typing import Any

from uniferum.errors import UniferumError
from uniferum.report.cited_systems import row_model
from uniferum.report.records import CellRecord, mix_name, own_axes, shown_setting
from uniferum.report.systems import encoder_word, other_system, recorded, recorded_folds, section
from uniferum.run_files import RESULT_FORMAT, RunFiles
from uniferum.systems import UNIFERUM

_PATTERNS = tuple(
    f"{depth}{name}" for depth in ("", "*/", "cells/*/") for name in ("result.json", "config.yaml", "failure.json")
)


def read_cell(folder: Path, source: str = "") -> CellRecord:
    """Read the record of one finished cell.

    Raises:
        UniferumError: ``result.json`` is missing, is not a record, or has a later format.
    """
    path = RunFiles(folder).result
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UniferumError(str(path), must="exist", cure="the cell has not finished") from None
    except (OSError, ValueError) as error:
        raise UniferumError(str(path), must="be the record of a cell", cure=str(error)) from None
    return as_record(result, folder, source or str(folder))


def as_record(result: Any, folder: Path, source: str) -> CellRecord:
    """Make a record from the content of ``result.json``; see :func:`read_cell`."""
    where = f"{source}: result.json"
    if not isinstance(result, dict) or not {"name", "train_on", "groups"} <= result.keys():
        raise UniferumError(where, must="be the record of a cell", cure="it lacks name, train_on or groups")
    if result.get("format", RESULT_FORMAT) != RESULT_FORMAT:
        cure = f"this version reads format {RESULT_FORMAT}"
        raise UniferumError(where, f"format {result['format']}", must="be of a known format", cure=cure)
    name, model = str(result["name"]), str(result.get("model") or UNIFERUM)
    mix, seed = mix_name(result["train_on"]), int(result.get("seed") or 0)
    config = recorded(folder)
    keys, folds, axes = (
        section(config, "model"),
        recorded_folds(section(config, "data")),
        read_axes(RunFiles(folder).axes),
    )
    text = keys.get("text") or {"name": result.get("text_encoder")}
    setting = shown_setting(own_axes(axes, folds))
    return CellRecord(
        name,
        row_model(model, keys),
        encoder_word(model, text),
        tuple(mix.split("+")),
        seed,
        folder,
        result,
        source,
        other_system=other_system(model, keys, section(config, "geometry")),
        text=keys.get("text") or {},
        axes=axes,
        setting=setting,
        at_defaults=not setting,
        config=config,
        folds=folds,
    )


def read_axes(path: Path) -> dict[str, str]:
    """Read the labels of a cell's axes; a file that is missing or damaged gives none, as it is no part of a score."""
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(axis): str(label) for axis, label in labels.items()} if isinstance(labels, dict) else {}


def from_folders(root: Path | str) -> list[CellRecord]:
    """Read every finished cell below ``root``: the root of a grid, its ``cells`` folder, or the folder of one cell.

    Raises:
        UniferumError: the folder does not exist, or a record in it is unreadable.
    """
    root = Path(root)
    if not root.is_dir():
        raise UniferumError(str(root), must="be a folder of cells", cure="give the root of a grid to --from")
    return [read_cell(folder) for folder in cell_folders(root) if RunFiles(folder).done]


def cell_folders(root: Path) -> list[Path]:
    """List the cell folders below ``root``, finished or not, sorted by name."""
    return sorted({path.parent for pattern in _PATTERNS for path in root.glob(pattern)})
