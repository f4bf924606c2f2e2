"""Records of cells for the report: configuration, scores and files.

A cell folder and an MLflow run hold the same files (``result.json``, ``metrics.parquet``, ``predictions.parquet``,
``config.yaml``, ``environment.json``, ``steps.jsonl``), so both give the same :class:`CellRecord`. A cell without a
result is a :class:`PendingCell`, with the reason and the command that runs it.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from uniferum.data.folds import Folds
from uniferum.data.provenance import SplitWord, read_words
from uniferum.errors import UniferumError
from uniferum.evaluation.fast_scores import NEEDED, Scored, score_file, score_table
from uniferum.evaluation.prediction_file import read_test_splits
from uniferum.evaluation.units import pooled
from uniferum.report.systems import PAPER_TEXT
from uniferum.run_files import RunFiles
from uniferum.systems import paper_systems
from uniferum.value_labels import label_order, natural

#: The order of the training mixes in the paper's Table 2; unknown mixes follow.
MIXES = (
    *("CTRATE", "CTRATE+SEG", "CTRATE+INSPECT", "CTRATE+INSPECT+SEG"),
    *("CTRATE+RADCHEST", "CTRATE+RADCHEST+SEG", "INSPECT", "RADCHEST"),
)
TEXT_ENCODERS = (*PAPER_TEXT, "")

DRAWN = "patients drawn with replacement, jointly for all labels"
CENTRED = "patients drawn with replacement, centred on the value (older records; --recompute corrects few positives)"
PLAIN = "DeLong's, volumes as cases (older records without their predictions)"

RowKey = tuple[str, ...]
"""Model, text encoder as named by :mod:`uniferum.report.systems` (empty if it has none), training mix; the setting
follows if it is not the grid's defaults (:mod:`uniferum.report.settings`)."""

FOLD = "fold"
"""The axis of folds: cells that differ in it alone repeat one number."""


@dataclass(frozen=True)
class Score:
    """One stored score of a cell, for a group or for one label; a missing value is NaN, a missing count 0."""

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
    """Number of cases with each flag that makes intensities or axes doubtful."""
    folds: Folds | None = None
    """The fold of its cell, nested if each fold is tested on other cases; None without folds."""
    method: str = ""
    """How the interval was made; empty without one."""
    reason: str = ""
    """Why there is no interval, e.g. ``too few positives (3)``."""
    corrected: float = math.nan
    """Of average precision: corrected for few positives, the centre of the interval."""
    delong_lo: float = math.nan
    """DeLong's interval with volumes as cases, the paper's."""
    delong_hi: float = math.nan


@dataclass(frozen=True)
class CellRecord:
    """One finished cell; ``result`` is the content of ``result.json``, ``model`` the name of its system in rows."""

    name: str
    model: str
    text_encoder: str
    train_on: tuple[str, ...]
    seed: int
    folder: Path
    result: Mapping[str, Any] = field(hash=False, compare=False)
    source: str = ""
    """Where the record was read: a folder, or a run on a tracking server."""
    recomputed: pd.DataFrame | None = field(default=None, hash=False, compare=False)
    """Scores of labels that were computed again from the predictions; they replace the stored ones."""
    other_system: str = ""
    """How it differs from the paper's system of its row; empty if it does not. Then it has no published value."""
    phantoms: bool = False
    """Whether its data are phantoms."""
    text: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    """The config keys of its text encoder; empty if its config was not recorded."""
    axes: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Label of its value on each axis of its grid, e.g. ``{"lr": "1e-4"}``."""
    setting: str = ""
    """In what it differs from other cells of its model, text encoder and mix, beside seed and fold: ``lr=1e-4``."""
    at_defaults: bool = True
    """Whether its setting is the grid's defaults: then it is the paper's row, if its system is the paper's."""
    config: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    """Its recorded config; empty if none was recorded."""
    untested: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    """Test cohorts of the grid file that have no store yet, each with the command that makes it."""
    folds: Folds | None = None
    """The fold that it holds out, and of which division; None without folds."""
    members: tuple["CellRecord", ...] = field(default=(), hash=False, compare=False)
    """Of an ensemble (:mod:`uniferum.report.ensembles`): the cells whose logits it averages."""
    unit: str = "volume"
    """What one case is (:mod:`uniferum.evaluation.units`)."""

    @property
    def member_rows(self) -> tuple[RowKey, ...]:
        """The rows of its members; its own without members."""
        return tuple(one.row for one in self.members) or (self.row,)

    def folds_on(self, cohort: str) -> Folds | None:
        """Its fold as far as scores on a cohort differ by it: nested only where the test cases are divided."""
        folds = self.folds
        divided = folds is not None and folds.nested and cohort in self.train_on
        return folds if folds is None or divided else replace(folds, nested=False)

    @property
    def repeat(self) -> tuple[int, int]:
        """Seed and fold, in which the cells of a row differ; fold -1 without folds."""
        return self.seed, -1 if self.folds is None else self.folds.index

    @property
    def mix(self) -> str:
        """The training data as written in tables, e.g. ``CTRATE+SEG``."""
        return mix_name(self.train_on)

    @property
    def row(self) -> RowKey:
        """The row of a table to which the cell belongs; cells that differ only in seed or fold share it."""
        return row_of(self)

    @property
    def files(self) -> RunFiles:
        """The paths of its files."""
        return RunFiles(self.folder)

    @cached_property
    def groups(self) -> tuple[Score, ...]:
        """The stored group means."""
        return tuple(_group_score(self, line) for line in self.result.get("groups", ()))

    @cached_property
    def test_splits(self) -> dict[str, SplitWord]:
        """The recorded test split of each cohort; empty for records of older versions.

        Raises:
            UniferumError: the recorded splits are damaged.
        """
        written = self.result.get("test_splits")
        if written is None:
            written = read_test_splits(self.files.predictions)
        return read_words(written, source=f"{self.source}: test_splits")

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The table of label scores (``metrics.parquet``), one row for each label.

        Raises:
            UniferumError: the file is missing or unreadable.
        """
        return read_parquet(self.files.metrics, None) if self.recomputed is None else self.recomputed

    @cached_property
    def label_reasons(self) -> dict[tuple[str, str], dict[str, str]]:
        """Why each label could not be scored, by (cohort, group) and label; the reason is empty if it was scored."""
        reasons: dict[tuple[str, str], dict[str, str]] = {}
        if self.recomputed is None and not self.files.metrics.exists():
            return reasons
        table = self.labels
        facts = (table[name].tolist() for name in ("cohort", "group", "label", "reason"))
        for cohort, group, label, reason in zip(*facts, strict=True):
            reasons.setdefault((str(cohort), str(group)), {})[str(label)] = str(reason)
        return reasons

    def predictions(self, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Read the predictions, one row for each test volume and known label.

        Raises:
            UniferumError: the file is missing or unreadable.
        """
        wanted = list(columns) if columns else None
        if self.unit == "volume":
            return read_parquet(self.files.predictions, wanted)
        table = pooled(read_parquet(self.files.predictions), self.unit)
        return table if wanted is None else table.loc[:, wanted]

    def scored(self) -> Scored:
        """Score the predictions again; raises as :meth:`predictions`."""
        if self.unit == "volume":
            return score_file(self.files.predictions)
        table = self.predictions()
        names = [name for name in (*NEEDED, "patient_id") if name in table.columns]
        return score_table(pa.Table.from_pandas(table[names], preserve_index=False), str(self.files.predictions))

    def steps(self) -> pd.DataFrame:
        """Read the metrics by step; empty if none were recorded."""
        return read_steps(self.files.steps)


@dataclass(frozen=True)
class PendingCell:
    """A cell without a result, with the reason and the command that runs it."""

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
    axes: Mapping[str, str] = field(default_factory=dict, hash=False)
    setting: str = ""
    at_defaults: bool = True
    config: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    folds: Folds | None = None
    members: tuple[str, ...] = ()
    """Of an ensemble: the names of its members."""
    rows_of_members: tuple[RowKey, ...] = ()

    @property
    def member_rows(self) -> tuple[RowKey, ...]:
        """The rows of its members; its own without members."""
        return self.rows_of_members or (self.row,)

    @property
    def row(self) -> RowKey:
        """The row of a table to which the cell belongs."""
        return row_of(self)

    @property
    def repeat(self) -> tuple[int, int]:
        """Seed and fold, in which the cells of a row differ; fold -1 without folds."""
        return self.seed, -1 if self.folds is None else self.folds.index


def row_of(cell: CellRecord | PendingCell) -> RowKey:
    """The row of a cell: a setting that is not the grid's defaults is a part of it."""
    row = cell.model, cell.text_encoder, cell.mix
    return row if cell.at_defaults else (*row, cell.setting)


def mix_name(train_on: Iterable[str]) -> str:
    """Join cohort names with plus signs, ``SEG`` last."""
    names = list(train_on)
    return "+".join([name for name in names if name != "SEG"] + ["SEG"] * ("SEG" in names))


def row_order(row: RowKey) -> tuple[object, ...]:
    """Sort key of a row: model, text encoder, then the order of the paper's Table 2; unknown values last."""
    orders: tuple[Sequence[str], ...] = (paper_systems(), TEXT_ENCODERS, MIXES)
    facts = zip(row[: len(orders)], orders, strict=True)
    ranked = [(order.index(value) if value in order else len(order), natural(value)) for value, order in facts]
    return *ranked, *(setting_order(value) for value in row[len(orders) :])


def setting_order(setting: str) -> tuple[object, ...]:
    """Sort key of a setting: by the values of its axes."""
    return [label_order(part.rpartition("=")[2].rstrip(")")) for part in setting.split(", ")], natural(setting)


def own_axes(axes: Mapping[str, str], folds: Folds | None) -> dict[str, str]:
    """The labels of a cell without that of its fold."""
    return {axis: label for axis, label in axes.items() if axis != FOLD or folds is None}


def shown_setting(labels: Mapping[str, str]) -> str:
    """``lr=1e-4, freeze=true``."""
    return ", ".join(f"{axis}={label}" for axis, label in labels.items())


def newest(records: Iterable[CellRecord]) -> tuple[list[CellRecord], list[CellRecord]]:
    """Split records into the newest of each cell name and the older ones (the same cell with other settings)."""
    kept: dict[str, CellRecord] = {}
    hidden: list[CellRecord] = []
    for record in sorted(records, key=_finished):
        if record.name in kept:
            hidden.append(kept[record.name])
        kept[record.name] = record
    return sorted(kept.values(), key=lambda record: (row_order(record.row), record.repeat)), hidden


def read_steps(path: Path) -> pd.DataFrame:
    """Read ``steps.jsonl`` as a table; an incomplete last line, left by a crash, is skipped."""
    if not path.exists():
        return pd.DataFrame({"step": pd.Series(dtype=int)})
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return pd.DataFrame([row for row in rows if isinstance(row, dict)])


def _group_score(record: CellRecord, line: Mapping[str, Any]) -> Score:
    numbers = {key: _number(line.get(key)) for key in ("value", "lo", "hi", "corrected", "prevalence")}
    counts: dict[str, Any] = {
        key: int(line.get(key) or 0) for key in ("n_labels", "n_labels_total", "n_cases", "n_patients")
    }
    cohort, group, metric = str(line["cohort"]), str(line["group"]), str(line["metric"])
    flagged = tuple((str(flag), int(count)) for flag, count in sorted((line.get("flagged") or {}).items()))
    cell, folds, method = record.name, record.folds_on(cohort), str(line.get("method") or "")
    if math.isfinite(numbers["lo"]) and not method:
        method = DRAWN
        if metric == "aupr":
            method, numbers = CENTRED, numbers | centred(numbers["value"], numbers["lo"], numbers["hi"])
    return Score(
        cell=cell,
        cohort=cohort,
        group=group,
        label="",
        metric=metric,
        flagged=flagged,
        folds=folds,
        method=method,
        **numbers,
        **counts,
    )


def centred(value: float, lo: float, hi: float) -> dict[str, float]:
    """An interval of average precision of an older record, moved to its own value, which percentiles can miss."""
    half = (hi - lo) / 2
    return {"lo": max(0.0, value - half), "hi": min(1.0, value + half)}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _finished(record: CellRecord) -> float:
    path = record.files.result
    return path.stat().st_mtime if path.exists() else float(record.result.get("finished") or 0)


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file of a cell.

    Raises:
        UniferumError: the file is missing or unreadable.
    """
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise UniferumError(str(path), must="exist", cure="evaluate the cell again") from None
    except (OSError, ValueError) as error:
        raise UniferumError(str(path), must="be a readable Parquet file", cure=str(error).splitlines()[0]) from None
