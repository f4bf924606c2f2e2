"""Build the training table: balanced negatives, organ tasks, LUNA16 nodules (paper 3.3, "Creating training data").

Only the training split is resampled; draws depend on the seed and on names, never on the order of rows. The 12 labels
that INSPECT shares with CT-RATE are used for evaluation only (paper 3.4.3) and give no training rows.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from uniferum.data.organ_counts import OrganCounts
from uniferum.data.organ_rows import nodule_rows, organ_rows, refuse_missing
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.settings import SamplingConfig
from uniferum.data.tasks import (
    NODULE,
    classification_tasks,
    joined,
    layer_structures,
    segmentation_tasks,
    trainable_labels,
)
from uniferum.data.vocabulary import Structure
from uniferum.errors import UniferumError, near_miss

SEG = "SEG"
NODULE_COHORT = "LUNA16"


def training_table(
    cohorts: Mapping[str, PreparedCohort],
    train_on: Sequence[str],
    config: SamplingConfig,
    seed: int,
    *,
    shuffle: bool = False,
) -> pd.DataFrame:
    """Build the table of rows from which a training draws its batches.

    Args:
        cohorts: opened stores by cohort key.
        train_on: cohort keys, and ``SEG`` for organ tasks on them plus LUNA16 nodules.
        config: the sampling section.
        seed: seed of every draw.
        shuffle: exchange each label's values between scans, for a control.

    Returns:
        the task table of the training split: the cohorts in the given order, then nodules.

    Raises:
        UniferumError: a cohort has no store, there are no rows, or masks are missing and ``missing_masks`` is to refuse
            them.
    """
    parts: list[pd.DataFrame] = []
    for name in (n for n in train_on if n != SEG):
        cohort = _opened(cohorts, name)
        rows = classification_tasks(cohort, "train", trainable_labels(cohort, config.label_count))
        if shuffle:
            rows = shuffled(rows, seed, "train")
        if config.balance:
            rows = balanced(rows, seed)
        parts.append(rows)
        if SEG in train_on:
            organ_count = OrganCounts(name, len(rows), len(cohort.patients("train")), config).wanted
            organs = organ_tasks(cohort, organ_count, seed)
            refuse_missing(organ_rows(cohort, organ_count, len(organs)), config.missing_masks, cohort.card, cohort.path)
            parts.append(organs)
    if SEG in train_on and config.luna_factor:
        cohort = _opened(cohorts, NODULE_COHORT)
        nodules = nodule_tasks(cohort, config.luna_factor)
        nodule_counts = nodule_rows(cohort, config.luna_factor, len(nodules))
        refuse_missing(nodule_counts, config.missing_masks, cohort.card, cohort.path)
        parts.append(nodules)
    table = joined(parts)
    if table.empty:
        cure = "both classes of at least one label must occur in the training split"
        raise UniferumError("train_on", ", ".join(train_on), must="give at least one training row", cure=cure)
    return table


def balanced(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Keep all positives of each (cohort, label), and as many negatives drawn without replacement (all, if fewer).

    A label with only one class keeps no row, because the model cannot learn to separate anything.
    """
    columns = (rows[name].tolist() for name in ("cohort", "label", "scan_id", "target"))
    tasks: dict[tuple[str, str], tuple[list[int], list[tuple[str, int]]]] = {}
    for index, (cohort, label, scan, target) in enumerate(zip(*columns, strict=True)):
        positives, negatives = tasks.setdefault((cohort, label), ([], []))
        if target == 1:
            positives.append(index)
        else:
            negatives.append((scan, index))
    keep: list[int] = []
    for (cohort, label), (positives, negatives) in tasks.items():
        pool = [index for _, index in sorted(negatives)]
        count = min(len(positives), len(pool))
        drawn = _random(seed, "balance", cohort, label).choice(len(pool), count, replace=False) if count else ()
        keep += [*positives, *(pool[int(n)] for n in drawn)] if count else []
    return rows.iloc[sorted(keep)].reset_index(drop=True)


def shuffled(rows: pd.DataFrame, seed: int, split: str) -> pd.DataFrame:
    """Exchange the targets of each (cohort, label) between its scans; their number of ones and zeros stays.

    Args:
        rows: label rows of one split.
        seed: seed of the draws.
        split: the split's name, so that two splits are drawn independently.
    """
    rows = rows.copy()
    for _, part in rows.groupby(["cohort", "label"], sort=False, observed=True):
        cohort, label = (str(part[name].iloc[0]) for name in ("cohort", "label"))
        order = part.sort_values("scan_id").index
        drawn = _random(seed, "shuffle", split, cohort, label).permutation(len(order))
        rows.loc[order, "target"] = rows.loc[order, "target"].to_numpy()[drawn]
    return rows


def organ_tasks(cohort: PreparedCohort, count: int, seed: int) -> pd.DataFrame:
    """Draw ``count`` organ tasks on training scans with masks: a random scan, then an organ that it shows.

    A scan gets a second task only after every scan with a mask has one, and no task is drawn twice.
    """
    random = _random(seed, "organs", cohort.name)
    left: dict[str, list[Structure]] = {}
    chosen: list[tuple[str, Structure]] = []
    candidates = [s for s in cohort.patients("train") if layer_structures(cohort.vocabulary, cohort.layers_of[s])]
    while candidates and len(chosen) < count:
        remaining: list[str] = []
        for index in random.permutation(len(candidates))[: count - len(chosen)].tolist():
            scan = candidates[index]
            organs = left[scan] if scan in left else left.setdefault(scan, _present(cohort, scan))
            if organs:
                chosen.append((scan, organs.pop(int(random.integers(len(organs))))))
                remaining.append(scan)
        candidates = sorted(remaining)
    return segmentation_tasks(cohort, "train", sorted(chosen, key=lambda pair: pair[0]))


def nodule_tasks(cohort: PreparedCohort, factor: int) -> pd.DataFrame:
    """Make ``factor`` nodule tasks for each training scan with a nodule; each copy gets its own augmentation."""
    structure = cohort.vocabulary.structures[NODULE]
    layers = cohort.layers_of
    scans = [s for s in cohort.patients("train") if NODULE in layers[s] and cohort.present(s, NODULE)]
    return segmentation_tasks(cohort, "train", [(scan, structure) for scan in scans], copies=factor)


def _present(cohort: PreparedCohort, scan_id: str) -> list[Structure]:
    """Structures with at least one voxel in the scan's mask layers, in the vocabulary's order."""
    structures = layer_structures(cohort.vocabulary, cohort.layers_of[scan_id])
    return [s for s in structures if not cohort.present(scan_id, s.layer).isdisjoint(s.ids)]


def _random(seed: int, *names: str) -> np.random.Generator:
    """Random generator that depends only on the seed and on names."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _opened(cohorts: Mapping[str, PreparedCohort], name: str) -> PreparedCohort:
    if name not in cohorts:
        raise UniferumError("train_on", name, must="have a prepared store", cure=near_miss(name, cohorts))
    return cohorts[name]
