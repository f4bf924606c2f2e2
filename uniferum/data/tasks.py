"""Task tables: each row is a task with volume, prompt, kind and target (paper 3.3).

Unknown is not negative: only known labels give rows. Nothing is resampled here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.vocabulary import NODULE, Structure, Vocabulary
from uniferum.errors import UniferumError, near_miss

SEGMENTATION = "segmentation"

# Column to its type. `target` is NaN on segmentation rows; `ids` are the values of `layer` that belong to the
# structure; `copy` numbers repetitions of a task, otherwise it is 0.
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
GROUPS = ("all", "shared", "unique", "further", "organ", "nodule")


def table_of(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> pd.DataFrame:
    """Task table with exactly the known columns, ordered and typed; ``{}`` gives no rows."""
    plain = {str: "str", float: np.float64, int: np.int64, list: object}
    return pd.DataFrame(
        {name: pd.Series(columns.get(name, []), dtype=plain[kind]) for name, kind in COLUMNS.items()}  # pyright: ignore[reportArgumentType]
    )


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate task tables."""
    parts = [table for table in tables if len(table)]
    return pd.concat(parts, ignore_index=True) if parts else table_of({})


def classification_tasks(cohort: PreparedCohort, split: str, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per known label of every scan of a split; never resampled.

    Args:
        cohort: a prepared cohort.
        split: ``train``, ``validation`` or ``test``.
        labels: only these label ids; None for all labels of the cohort.

    Returns:
        a task table, sorted by scan and then by the vocabulary's order of labels.

    Raises:
        UniferumError: a label is not in the cohort's vocabulary.
    """
    selected = _selected_labels(cohort, labels)
    order = {label: index for index, label in enumerate(selected)}
    patients = cohort.patients(split)
    known = [row for row in cohort.known() if row[0] in patients and row[1] in order]
    known.sort(key=lambda row: (row[0], order[row[1]]))
    name, words = cohort.name, {label: cohort.vocabulary.labels[label] for label in selected}
    group = {label: cohort.vocabulary.group_of(name, label) for label in selected}
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
    """Tasks for all known labels of a split, including those only for evaluation."""
    return classification_tasks(cohort, split)


def trainable_labels(cohort: PreparedCohort, count: int | None = None) -> tuple[str, ...]:
    """Labels of the cohort for training and selection; see :meth:`uniferum.data.vocabulary.Vocabulary.trainable`."""
    return cohort.vocabulary.trainable(cohort.name, count)


def selection_tasks(
    cohorts: Mapping[str, PreparedCohort], names: Iterable[str], label_count: int | None = None
) -> pd.DataFrame:
    """Validation tasks that select the best checkpoint: trainable labels of the named cohorts, not resampled."""
    opened = [cohorts[name] for name in names]
    return joined(
        classification_tasks(cohort, "validation", trainable_labels(cohort, label_count)) for cohort in opened
    )


def segmentation_tasks(
    cohort: PreparedCohort, split: str, chosen: Sequence[tuple[str, Structure]], *, copies: int = 1
) -> pd.DataFrame:
    """Make segmentation rows of a split, in the given order.

    Args:
        cohort: a prepared cohort.
        split: split of the scans.
        chosen: scan id and structure of each row.
        copies: number of repetitions of each row; more than one are numbered in ``copy`` and in the task id.
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
    """Group of a structure: ``nodule`` for lung nodules, ``organ`` for all others."""
    return NODULE if structure.layer == NODULE else "organ"


def layer_structures(vocabulary: Vocabulary, layers: Iterable[str]) -> list[Structure]:
    """Structures that a scan with these mask layers can have, without nodules."""
    held = set(layers) - {NODULE}
    return [s for s in vocabulary.structures.values() if s.layer in held]


def _selected_labels(cohort: PreparedCohort, labels: Sequence[str] | None) -> list[str]:
    all_labels = cohort.vocabulary.of_cohort(cohort.name)
    if labels is None:
        return list(all_labels)
    for label in labels:
        if label not in all_labels:
            raise UniferumError(f"label of {cohort.name}", label, must="be known", cure=near_miss(label, all_labels))
    return [label for label in all_labels if label in set(labels)]
