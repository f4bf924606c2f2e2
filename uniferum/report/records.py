"""A finished cell as the report sees it, wherever it was read from: its facts, its scores, its files.

A cell folder and a tracking server hold the same files (``result.json``, ``metrics.parquet``, ``predictions.parquet``,
``config.yaml``, ``environment.json``, ``steps.jsonl``), so both give the same :class:`CellRecord`. A cell that has no
result yet is a :class:`PendingCell`, with the reason and the command that fills it.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from uniferum.data.provenance import SplitWord, read_words
from uniferum.errors import UniferumError
from uniferum.evaluation.prediction_file import read_test_splits
from uniferum.report.systems import PAPER_TEXT, encoder_word, natural, other_system, recorded, section
from uniferum.run_files import RESULT_FORMAT, RunFiles
from uniferum.systems import UNIFERUM, paper_systems

#: The order of the training mixes in the paper's Table 2; unknown mixes follow.
MIXES = (
    *("CTRATE", "CTRATE+SEG", "CTRATE+INSPECT", "CTRATE+INSPECT+SEG"),
    *("CTRATE+RADCHEST", "CTRATE+RADCHEST+SEG", "INSPECT", "RADCHEST"),
)
TEXT_ENCODERS = (*PAPER_TEXT, "")

RowKey = tuple[str, str, str]
"""Model, text encoder by what it is (:mod:`uniferum.report.systems`; "" where there is none), training mix."""


@dataclass(frozen=True)
class Score:
    """One stored number of one cell: a group mean, or one label's; an absent number is NaN, an absent count 0."""

    cell: str
    cohort: str
    group: str
    label: str
    """Empty for a group mean."""
    metric: str
    value: float
    lo: float
    hi: float
    n_labels: int
    n_labels_total: int
    n_cases: int
    n_patients: int
    prevalence: float
    flagged: tuple[tuple[str, int], ...] = ()
    """Of the cases: how many have each flag that makes their intensities or axes doubtful."""


@dataclass(frozen=True)
class CellRecord:
    """One finished cell; ``result`` is the whole of ``result.json``."""

    name: str
    model: str
    text_encoder: str
    train_on: tuple[str, ...]
    seed: int
    folder: Path
    result: Mapping[str, Any] = field(hash=False, compare=False)
    source: str = ""
    """Where a person finds it: a folder, or the run of a tracking server."""
    recomputed: pd.DataFrame | None = field(default=None, hash=False, compare=False)
    """Labels scored again from the predictions, in place of the stored ones."""
    other_system: str = ""
    """Why it is not the paper's system of its row, so that no published value stands beside it; empty where it is."""
    phantoms: bool = False
    """Whether its data are phantoms."""
    text: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    """The keys of its text encoder, where its config is recorded."""

    @property
    def mix(self) -> str:
        """The training data as the tables write it, ``CTRATE+SEG``."""
        return mix_name(self.train_on)

    @property
    def row(self) -> RowKey:
        """Which row of a table the cell belongs to; cells that differ in their seed alone share it."""
        return self.model, self.text_encoder, self.mix

    @property
    def files(self) -> RunFiles:
        """Where its files lie."""
        return RunFiles(self.folder)

    @cached_property
    def groups(self) -> tuple[Score, ...]:
        """The group means, as stored with the cell."""
        return tuple(_group_score(self.name, line) for line in self.result.get("groups", ()))

    @cached_property
    def test_splits(self) -> dict[str, SplitWord]:
        """Cohort to its own word on its test split; a record that is older than those words has none.

        Raises:
            UniferumError: a word is damaged.
        """
        written = self.result.get("test_splits")
        if written is None:
            written = read_test_splits(self.files.predictions)
        return read_words(written, source=f"{self.source}: test_splits")

    @cached_property
    def labels(self) -> pd.DataFrame:
        """One row a label (``metrics.parquet``).

        Raises:
            UniferumError: the file is missing or unreadable.
        """
        return read_parquet(self.files.metrics, None) if self.recomputed is None else self.recomputed

    @cached_property
    def label_reasons(self) -> dict[tuple[str, str], dict[str, str]]:
        """(cohort, group) -> label -> why it could not be scored, empty where it was; nothing without its labels."""
        found: dict[tuple[str, str], dict[str, str]] = {}
        if self.recomputed is None and not self.files.metrics.exists():
            return found
        table = self.labels
        facts = (table[name].tolist() for name in ("cohort", "group", "label", "reason"))
        for cohort, group, label, reason in zip(*facts, strict=True):
            found.setdefault((str(cohort), str(group)), {})[str(label)] = str(reason)
        return found

    def predictions(self, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """One row a test volume and known label.

        Raises:
            UniferumError: the file is missing or unreadable.
        """
        return read_parquet(self.files.predictions, list(columns) if columns else None)

    def steps(self) -> pd.DataFrame:
        """The metrics by step; empty where none were kept."""
        return read_steps(self.files.steps)


@dataclass(frozen=True)
class PendingCell:
    """A cell that has no result yet: its facts, why, and the command that fills it."""

    name: str
    model: str
    text_encoder: str
    mix: str
    seed: int
    reason: str
    command: str = ""
    other_system: str = ""
    phantoms: bool = False
    text: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def row(self) -> RowKey:
        """Which row of a table waits for it."""
        return self.model, self.text_encoder, self.mix


def mix_name(train_on: Iterable[str]) -> str:
    """Cohorts joined by plus signs, ``SEG`` last."""
    names = list(train_on)
    return "+".join([name for name in names if name != "SEG"] + ["SEG"] * ("SEG" in names))


def row_order(row: RowKey) -> tuple[object, ...]:
    """Sorts rows as the paper does: model, text encoder, then the order of its Table 2; the unknown after the known."""
    return tuple(
        (order.index(value) if value in order else len(order), natural(value))
        for value, order in zip(row, (paper_systems(), TEXT_ENCODERS, MIXES), strict=True)
    )


def read_cell(folder: Path, source: str = "") -> CellRecord:
    """The record of one finished cell.

    Raises:
        UniferumError: ``result.json`` is missing, is no record, or is of a later format.
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
    """A record from the content of ``result.json``; see :func:`read_cell`."""
    where = f"{source}: result.json"
    if not isinstance(result, dict) or not {"name", "train_on", "groups"} <= result.keys():
        raise UniferumError(where, must="be the record of a cell", cure="it lacks name, train_on or groups")
    if result.get("format", RESULT_FORMAT) != RESULT_FORMAT:
        cure = f"this version reads format {RESULT_FORMAT}"
        raise UniferumError(where, f"format {result['format']}", must="be of a known format", cure=cure)
    name, model = str(result["name"]), str(result.get("model") or UNIFERUM)
    mix, seed = mix_name(result["train_on"]), int(result.get("seed") or 0)
    config = recorded(folder)
    keys = section(config, "model")
    text = keys.get("text") or {"name": result.get("text_encoder")}
    return CellRecord(
        name,
        model,
        encoder_word(model, text),
        tuple(mix.split("+")),
        seed,
        folder,
        result,
        source,
        other_system=other_system(model, keys, section(config, "geometry")),
        text=keys.get("text") or {},
    )


def from_folders(root: Path | str) -> list[CellRecord]:
    """Every finished cell below ``root``: a grid's root, its ``cells`` folder, or one cell's folder.

    Raises:
        UniferumError: the folder does not exist, or a record in it is unreadable.
    """
    root = Path(root)
    if not root.is_dir():
        raise UniferumError(str(root), must="be a folder of cells", cure="give the root of a grid to --from")
    return [read_cell(folder) for folder in cell_folders(root) if RunFiles(folder).done]


def cell_folders(root: Path) -> list[Path]:
    """Folders below ``root`` that are a cell's, finished or not, by name."""
    found = {path.parent for pattern in _PATTERNS for path in root.glob(pattern)}
    return sorted(found)


def newest(records: Iterable[CellRecord]) -> tuple[list[CellRecord], list[CellRecord]]:
    """The newest record of each cell name, and the older ones that it hides (the same cell with other settings)."""
    kept: dict[str, CellRecord] = {}
    hidden: list[CellRecord] = []
    for record in sorted(records, key=_finished):
        if record.name in kept:
            hidden.append(kept[record.name])
        kept[record.name] = record
    return sorted(kept.values(), key=lambda record: (row_order(record.row), record.seed)), hidden


def read_steps(path: Path) -> pd.DataFrame:
    """``steps.jsonl`` as a table; a last line cut short by a crash is left out."""
    if not path.exists():
        return pd.DataFrame({"step": pd.Series(dtype=int)})
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return pd.DataFrame([row for row in rows if isinstance(row, dict)])


def _group_score(cell: str, line: Mapping[str, Any]) -> Score:
    numbers = {key: _number(line.get(key)) for key in ("value", "lo", "hi", "prevalence")}
    counts = {key: int(line.get(key) or 0) for key in ("n_labels", "n_labels_total", "n_cases", "n_patients")}
    cohort, group, metric = str(line["cohort"]), str(line["group"]), str(line["metric"])
    flagged = tuple((str(flag), int(count)) for flag, count in sorted((line.get("flagged") or {}).items()))
    return Score(cell=cell, cohort=cohort, group=group, label="", metric=metric, flagged=flagged, **numbers, **counts)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


_PATTERNS = tuple(
    f"{depth}{name}" for depth in ("", "*/", "cells/*/") for name in ("result.json", "config.yaml", "failure.json")
)


def _finished(record: CellRecord) -> float:
    path = record.files.result
    return path.stat().st_mtime if path.exists() else float(record.result.get("finished") or 0)


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A cell's table; what is missing or unreadable is named."""
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise UniferumError(str(path), must="exist", cure="evaluate the cell again") from None
    except (OSError, ValueError) as error:
        raise UniferumError(str(path), must="be a readable Parquet file", cure=str(error).splitlines()[0]) from None
