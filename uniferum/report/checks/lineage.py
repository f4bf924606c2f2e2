"""Trace a printed number to its runs, their fingerprints, commit, data and prediction files.

The number is computed again from the prediction file, to detect a table that no longer agrees with its files.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from uniferum.data.label_sets import set_of
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError, near_miss
from uniferum.evaluation.mask_words import METRICS as MASK_METRICS
from uniferum.evaluation.metrics import score_predictions
from uniferum.report.ensembles import average_logits
from uniferum.report.published import find
from uniferum.report.records import CellRecord
from uniferum.report.systems import shown_encoder
from uniferum.report.tables.entries import Entry, Key, ReportTable
from uniferum.report.tables.flagged import flag_line
from uniferum.report.tables.paper import mean
from uniferum.report.tables.pivot import GROUP_METRICS, label_scores
from uniferum.report.tables.rendering import shown_name
from uniferum.report.tables.segmentation import mask_scores
from uniferum.report.tables.splits import split_line
from uniferum.report.tables.wording import METRIC as BY_WORDING

FEW = 5
"""Fewer positive cases than this are pointed out: one case more or less changes such a number a lot."""
MASK_FACTS = ("cohort", "group", "label")


def trace(table: ReportTable, row: str, column: str, records: Sequence[CellRecord]) -> str:
    """Describe where one number comes from, as lines of text.

    Args:
        table: the printed table.
        row: words that name one row, e.g. ``pubmedbert CTRATE+SEG``.
        column: words that name one column, e.g. ``INSPECT shared``.
        records: the cells of the table.

    Raises:
        UniferumError: the words match no row or column, or several.
    """
    row_key = _find_row(table, row)
    column_key = _find_column(table, column)
    entry = table.entries[row_key, column_key]
    lines = [
        f"{table.title}",
        f"row {' / '.join(shown_encoder(x) for x in row_key if x)}, column {' '.join(column_key)}",
        "",
    ]
    facts = dict(zip((*table.row_facts, *table.column_facts), (*row_key, *column_key), strict=True))
    lines += _number_lines(entry)
    lines += _published_lines(facts, table.metric) if math.isfinite(entry.published) else []
    for record in records:
        if record.name in entry.cells:
            shown = _ensemble_lines if record.members else _run_lines
            lines += ["", *shown(record, facts, table.metric)]
    return "\n".join(lines) + "\n"


def _published_lines(facts: Mapping[str, str], metric: str) -> list[str]:
    """Where a published value is printed, and what is said beside it."""
    row = facts.get("model", ""), facts.get("text_encoder", ""), facts.get("train_on", "")
    one = find(metric, row, facts.get("cohort", ""), facts.get("label") or facts.get("group", ""))
    return [] if one is None else [f"published in: {one.source}" + (f"; {one.note}" if one.note else "")]


def _find_row(table: ReportTable, words: str) -> Key:
    wanted = _wanted(words)
    exact = [row for row in table.rows if wanted <= _words(row)]
    exact = [row for row in exact if _own(table, row)] or exact
    return _only(
        _without_label_sets(exact, words), words, "ROW", (" ".join(part for part in row if part) for row in table.rows)
    )


def _own(table: ReportTable, row: Key) -> bool:
    """Whether a row is of cells, finished or not; other rows have only what the paper prints."""
    return any(table.entries[row, column].missing != "not run" for column in table.columns)


def _find_column(table: ReportTable, words: str) -> Key:
    wanted = _wanted(words.replace(":", " "))
    exact = [column for column in table.columns if wanted <= _words(column)]
    return _only(_without_label_sets(exact, words), words, "COLUMN", (" ".join(column) for column in table.columns))


def _wanted(words: str) -> set[str]:
    """The words that name a row or column, also as it is printed: without counts of labels, and without dashes."""
    plain = re.sub(r"\(\d+/\d+ labels\)", " ", words).replace("/", " ").lower()
    return {word for word in plain.split() if word != "-"}


def _without_label_sets(keys: Sequence[Key], words: str) -> list[Key]:
    """Leave out columns and rows of other label sets (``CTRATE [refined]``), unless the words name one."""
    return [key for key in keys if "[" in words or not any(set_of(part) for part in key)]


def _words(key: Key) -> set[str]:
    """Words that match a row or column: its facts, parts of a hub id or folder, short names of the paper's encoders."""
    labels = Vocabulary.load().labels
    named = [labels[part].name for part in key if part in labels]
    printed = [*(shown_encoder(part) for part in key), *map(shown_name, key), *named]
    spelt = " ".join(printed).replace("/", " ").lower().split()
    return {*spelt, *(part.lower() for part in key)}


def _only(matches: Sequence[Key], words: str, subject: str, names: Iterable[str]) -> Key:
    if len(matches) == 1:
        return matches[0]
    names = list(names)
    if matches:
        several = "; ".join(" ".join(part for part in key if part) for key in matches)
        cure = f"it matches {len(matches)}: {several}"
        raise UniferumError(subject, words, must="match exactly one row or column", cure=cure)
    raise UniferumError(subject, words, must="be in the table", cure=near_miss(words, names))


def _number_lines(entry: Entry) -> list[str]:
    if not entry.known:
        lines = [f"no number: {entry.missing}"]
        lines += [f"published {entry.published:.4f}"] if math.isfinite(entry.published) else []
        return [*lines, f"get it with: {entry.command}"] if entry.command else lines
    lines = [f"value {entry.value:.6f}"]
    if math.isfinite(entry.lo):
        lines.append(f"interval 95 % [{entry.lo:.6f}, {entry.hi:.6f}]: {entry.method or 'method not recorded'}")
    elif entry.reason:
        lines.append(f"no interval: {entry.reason}")
    if math.isfinite(entry.corrected):
        lines.append(f"corrected for few positives {entry.corrected:.6f}, the centre of the interval")
    if math.isfinite(entry.spread):
        lines.append(f"mean of {_repeats(entry)}, standard deviation {entry.spread:.6f}")
    if math.isfinite(entry.published):
        lines.append(f"published {entry.published:.4f}, difference {entry.value - entry.published:+.4f}")
    lines.append(f"labels {entry.n_labels} of {entry.n_labels_total}, {entry.n_cases} volumes")
    lines += [f"role: {entry.role}"] if entry.role else []
    return lines


def _repeats(entry: Entry) -> str:
    if not entry.folds_total:
        return f"{entry.seeds} seeds"
    folds = f"{entry.folds} of {entry.folds_total} folds" if entry.folds < entry.folds_total else f"{entry.folds} folds"
    return folds if entry.seeds < 2 else f"{folds} and {entry.seeds} seeds"


def _run_lines(record: CellRecord, facts: Mapping[str, str], metric: str) -> list[str]:
    lines = _facts(record)
    return [*lines, *_recomputed(record, facts, metric)]


def _ensemble_lines(record: CellRecord, facts: Mapping[str, str], metric: str) -> list[str]:
    """Trace an ensemble to its members, and compute its number again from their prediction files."""
    lines = [f"ensemble: {record.name}, the mean of the logits of {len(record.members)} cells, case by case"]
    lines += _recomputed(record, facts, metric, average_logits(record.members))
    for member in record.members:
        lines += ["", *_facts(member)]
    return lines


def _facts(record: CellRecord) -> list[str]:
    result = record.result
    said = {
        "run": record.name,
        "read from": record.source,
        "seed": record.seed,
        "fold": record.folds and f"{record.folds.index} of {record.folds.count}",
        "training fingerprint": result.get("training_fingerprint"),
        "evaluation fingerprint": result.get("evaluation_fingerprint"),
        "commit": result.get("git_commit"),
        "checkpoint": f"best step {result.get('best_step')} of {result.get('steps')}",
        "data": _data_hashes(result.get("data") or result.get("data_digests")),
        "test splits": split_line(record),
        "flagged scans": flag_line(record),
        "predictions": f"{record.files.predictions}, sha256 {_digest(record.files.predictions)}",
    }
    return [f"{name}: {value}" for name, value in said.items() if value not in (None, "")]


def _data_hashes(data: object) -> str:
    return ", ".join(f"{name} {str(value)[:16]}" for name, value in data.items()) if isinstance(data, dict) else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else "(file missing)"


def _recomputed(
    record: CellRecord, facts: Mapping[str, str], metric: str, predictions: pd.DataFrame | None = None
) -> list[str]:
    """List the labels of a number, and compute the number again from the predictions, those of a file by default."""
    if metric in MASK_METRICS:
        return _recomputed_masks(record, facts, metric)
    if metric == BY_WORDING:
        return [f"stored in {record.files.result}; the predictions of other wordings are not kept"]
    table = record.predictions() if predictions is None else predictions
    for name in ("cohort", "group", "label"):
        if name in facts:
            table = table.loc[(table[name] == facts[name]).to_numpy()]
    stored = _stored(record, facts, metric)
    if not len(table) or stored is None:
        return ["recomputed: the prediction file has no case of this row and column"]
    labels = score_predictions(table, draws=0).labels
    values = labels[metric].to_numpy(dtype=float)
    again = mean(list(values))
    agrees = "equal" if math.isclose(again, stored, abs_tol=1e-9) else f"NOT EQUAL to the stored {stored}"
    lines = [f"recomputed from the predictions: {again:.6f} ({agrees})", "labels:"]
    for label, value, n_pos, n, reason in zip(
        labels["label"], values, labels["n_pos"], labels["n"], labels["reason"], strict=True
    ):
        shown = f"{value:.4f}" if math.isfinite(value) else f"n/a, {reason}"
        few = f"; it rests on {n_pos} positive cases" if 0 < n_pos < FEW else ""
        lines.append(f"  {label}: {shown} ({n_pos} of {n} positive{few})")
    return lines


def _recomputed_masks(record: CellRecord, facts: Mapping[str, str], metric: str) -> list[str]:
    """Compute a number of masks again from the voxel counts."""
    stored, again = (
        [score.value for score in mask_scores(one, metric) if all(getattr(score, f) == facts[f] for f in MASK_FACTS)]
        for one in (record, replace(record, recomputed=pd.DataFrame()))
    )
    if not stored:
        return ["recomputed: the masks of the cell were not scored"]
    agrees = "equal" if math.isclose(mean(again), mean(stored), abs_tol=1e-9) else f"NOT EQUAL to {mean(stored)}"
    return [f"recomputed from {record.files.masks}: {mean(again):.6f} ({agrees})"]


def _stored(record: CellRecord, facts: Mapping[str, str], metric: str) -> float | None:
    """The stored number of a cell for one row and column; None if it has none."""
    by_label = "label" in facts or metric not in GROUP_METRICS
    scores = label_scores(record, metric) if by_label else (s for s in record.groups if s.metric == metric)
    values = [
        score.value
        for score in scores
        if all(getattr(score, name) == facts[name] for name in ("cohort", "group", "label") if name in facts)
    ]
    return mean(values) if values else None
