"""A task is a row: volume, prompt, kind, target (paper 3.3); a table is a data frame of such rows.

Unknown is not negative: only known labels make rows, and nothing here resamples.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from uniferum.data.prepared import PreparedCohort
from uniferum.data.vocabulary import NODULE, Structure, Vocabulary
from uniferum.errors import UniferumError, near_miss

SEGMENTATION = "segmentation"

# Column -> its type. `target` is NaN on segmentation rows; `ids` are the values of `layer` that make the structure;
# `copy` numbers the repetitions of a repeated task and is 0 otherwise.
COLUMNS: dict[str, type] = {
    "task_id": str,
    "cohort": str,
    "volume_id": str,
    "scan_id": str,
    "patient_id": str,
    "split": str,
    "label": str,
    "kind": str,
    "group": str,
    "prompt": str,
    "target": float,
    "layer": str,
    "ids": list,
    "copy": int,
}
KINDS = ("diagnosis", "prognosis", SEGMENTATION)
GROUPS = ("all", "shared", "unique", "organ", "nodule")


def table_of(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> pd.DataFrame:
    """A task table of exactly the known columns, in order and of their types; ``{}`` gives no rows."""
    plain = {str: "str", float: np.float64, int: np.int64, list: object}
    return pd.DataFrame(
        {name: pd.Series(columns.get(name, []), dtype=plain[kind]) for name, kind in COLUMNS.items()}  # pyright: ignore[reportArgumentType]
    )


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several task tables, one after the other."""
    parts = [table for table in tables if len(table)]
    return pd.concat(parts, ignore_index=True) if parts else table_of({})


def classification_tasks(cohort: PreparedCohort, split: str, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """One row for every known label of every scan of a split; never resampled.

    Args:
        cohort: a prepared cohort.
        split: ``train``, ``validation`` or ``test``.
        labels: only these label ids; None for all of the cohort's.

    Returns:
        A task table, sorted by scan and then in the vocabulary's order of labels.

    Raises:
        UniferumError: a label that the cohort's vocabulary does not have.
    """
    wanted = _wanted(cohort, labels)
    order = {label: place for place, label in enumerate(wanted)}
    patients = cohort.patients(split)
    known = [row for row in cohort.known() if row[0] in patients and row[1] in order]
    known.sort(key=lambda row: (row[0], order[row[1]]))
    name, words = cohort.name, {label: cohort.vocabulary.labels[label] for label in wanted}
    group = {label: cohort.vocabulary.group_of(name, label) for label in wanted}
    return table_of(
        {
            "task_id": [f"{name}/{scan}:{label}" for scan, label, _ in known],
            "cohort": [name] * len(known),
            "volume_id": [f"{name}/{scan}" for scan, _, _ in known],
            "scan_id": [scan for scan, _, _ in known],
            "patient_id": [patients[scan] for scan, _, _ in known],
            "split": [split] * len(known),
            "label": [label for _, label, _ in known],
            "kind": [words[label].kind for _, label, _ in known],
            "group": [group[label] for _, label, _ in known],
            "prompt": [words[label].prompt for _, label, _ in known],
            "target": [float(value) for _, _, value in known],
            "layer": [""] * len(known),
            "ids": [()] * len(known),
            "copy": [0] * len(known),
        }
    )


def evaluation_tasks(cohort: PreparedCohort, split: str) -> pd.DataFrame:
    """Every known label of a split, the labels that serve evaluation only with them."""
    return classification_tasks(cohort, split)


def trainable_labels(cohort: PreparedCohort) -> tuple[str, ...]:
    """The cohort's labels that may be trained and selected on (INSPECT's 12 shared ones may not: paper 3.4.3)."""
    return cohort.vocabulary.trainable(cohort.name)


def selection_tasks(cohorts: Mapping[str, PreparedCohort], names: Iterable[str]) -> pd.DataFrame:
    """The validation tasks that choose the best checkpoint: trainable labels of the named cohorts, not resampled."""
    opened = [cohorts[name] for name in names]
    return joined(classification_tasks(cohort, "validation", trainable_labels(cohort)) for cohort in opened)


def segmentation_tasks(
    cohort: PreparedCohort, split: str, chosen: Sequence[tuple[str, Structure]], *, copies: int = 1
) -> pd.DataFrame:
    """Segmentation rows of a split, in the order given.

    Args:
        cohort: a prepared cohort.
        split: the split that the scans belong to.
        chosen: a scan id and the structure to segment in it, for each row.
        copies: how often each is repeated; more than one are numbered in ``copy`` and in the task's id.
    """
    patients = cohort.patients(split)
    rows = [(scan, structure, copy) for copy in range(copies) for scan, structure in chosen]
    mark = (lambda copy: f"#{copy}") if copies > 1 else (lambda _: "")
    return table_of(
        {
            "task_id": [f"{cohort.name}/{scan}:{s.id}{mark(copy)}" for scan, s, copy in rows],
            "cohort": [cohort.name] * len(rows),
            "volume_id": [f"{cohort.name}/{scan}" for scan, _, _ in rows],
            "scan_id": [scan for scan, _, _ in rows],
            "patient_id": [patients[scan] for scan, _, _ in rows],
            "split": [split] * len(rows),
            "label": [s.id for _, s, _ in rows],
            "kind": [SEGMENTATION] * len(rows),
            "group": [group_of_structure(s) for _, s, _ in rows],
            "prompt": [s.prompt for _, s, _ in rows],
            "target": [np.nan] * len(rows),
            "layer": [s.layer for _, s, _ in rows],
            "ids": [tuple(s.ids) for _, s, _ in rows],
            "copy": [copy for _, _, copy in rows],
        }
    )


def group_of_structure(structure: Structure) -> str:
    """``nodule`` for lung nodules, ``organ`` for everything else that is segmented."""
    return NODULE if structure.layer == NODULE else "organ"


def layer_structures(vocabulary: Vocabulary, layers: Iterable[str]) -> list[Structure]:
    """The structures that a scan with these mask layers can have, nodules apart."""
    held = set(layers) - {NODULE}
    return [s for s in vocabulary.structures.values() if s.layer in held]


def _wanted(cohort: PreparedCohort, labels: Sequence[str] | None) -> list[str]:
    all_labels = cohort.vocabulary.of_cohort(cohort.name)
    if labels is None:
        return list(all_labels)
    for label in labels:
        if label not in all_labels:
            raise UniferumError(f"label of {cohort.name}", label, must="be known", cure=near_miss(label, all_labels))
    return [label for label in all_labels if label in set(labels)]
