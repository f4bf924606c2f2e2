"""The training table: balanced negatives, organ tasks, LUNA16 nodules (paper 3.3, "Creating training data").

Only the training split is resampled, by draws that depend on the seed and on names, never on the order of rows; the 12
labels that INSPECT shares with CT-RATE serve evaluation only (paper 3.4.3) and make no training row.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from uniferum.data.organ_counts import OrganCounts
from uniferum.data.organ_rows import nodule_rows, organ_rows, refuse_missing
from uniferum.data.prepared import PreparedCohort
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
    cohorts: Mapping[str, PreparedCohort], train_on: Sequence[str], config: SamplingConfig, seed: int
) -> pd.DataFrame:
    """The rows that a training draws from.

    Args:
        cohorts: the opened stores by cohort key.
        train_on: cohort keys, and ``SEG`` for organ tasks on them plus LUNA16 nodules.
        config: the sampling section.
        seed: of every draw.

    Returns:
        A task table of the training split: the cohorts in the order given, then nodules.

    Raises:
        UniferumError: a cohort is not among the stores, there is nothing to train on, or masks are missing and
            ``missing_masks`` is to refuse.
    """
    parts: list[pd.DataFrame] = []
    for name in (n for n in train_on if n != SEG):
        cohort = _opened(cohorts, name)
        rows = classification_tasks(cohort, "train", trainable_labels(cohort))
        if config.balance:
            rows = balanced(rows, seed)
        parts.append(rows)
        if SEG in train_on:
            wanted = OrganCounts(name, len(rows), len(cohort.patients("train")), config).wanted
            organs = organ_tasks(cohort, wanted, seed)
            refuse_missing(organ_rows(cohort, wanted, len(organs)), config.missing_masks, cohort.card, cohort.path)
            parts.append(organs)
    if SEG in train_on and config.luna_factor:
        cohort = _opened(cohorts, NODULE_COHORT)
        nodules = nodule_tasks(cohort, config.luna_factor)
        found = nodule_rows(cohort, config.luna_factor, len(nodules))
        refuse_missing(found, config.missing_masks, cohort.card, cohort.path)
        parts.append(nodules)
    table = joined(parts)
    if table.empty:
        cure = "both classes of at least one label must occur in the training split"
        raise UniferumError("train_on", ", ".join(train_on), must="give at least one training row", cure=cure)
    return table


def balanced(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every positive of each (cohort, label), and as many negatives drawn without replacement (all, if fewer).

    A label without a positive, or without a negative, keeps no row: there is nothing to tell apart.
    """
    columns = (rows[name].tolist() for name in ("cohort", "label", "scan_id", "target"))
    tasks: dict[tuple[str, str], tuple[list[int], list[tuple[str, int]]]] = {}
    for place, (cohort, label, scan, target) in enumerate(zip(*columns, strict=True)):
        positives, negatives = tasks.setdefault((cohort, label), ([], []))
        if target == 1:
            positives.append(place)
        else:
            negatives.append((scan, place))
    keep: list[int] = []
    for (cohort, label), (positives, negatives) in tasks.items():
        pool = [place for _, place in sorted(negatives)]
        count = min(len(positives), len(pool))
        drawn = _random(seed, "balance", cohort, label).choice(len(pool), count, replace=False) if count else ()
        keep += [*positives, *(pool[int(n)] for n in drawn)] if count else []
    return rows.iloc[sorted(keep)].reset_index(drop=True)


def organ_tasks(cohort: PreparedCohort, count: int, seed: int) -> pd.DataFrame:
    """``count`` organ tasks on training scans with masks: scans in random turn, then an organ present in the scan.

    A scan has its second task only after every scan with a mask has had one, and no task twice.
    """
    random = _random(seed, "organs", cohort.name)
    left: dict[str, list[Structure]] = {}
    chosen: list[tuple[str, Structure]] = []
    turn = [s for s in cohort.patients("train") if layer_structures(cohort.vocabulary, cohort.layers_of[s])]
    while turn and len(chosen) < count:
        again: list[str] = []
        for place in random.permutation(len(turn))[: count - len(chosen)].tolist():
            scan = turn[place]
            organs = left[scan] if scan in left else left.setdefault(scan, _present(cohort, scan))
            if organs:
                chosen.append((scan, organs.pop(int(random.integers(len(organs))))))
                again.append(scan)
        turn = sorted(again)
    return segmentation_tasks(cohort, "train", sorted(chosen, key=lambda pair: pair[0]))


def nodule_tasks(cohort: PreparedCohort, factor: int) -> pd.DataFrame:
    """``factor`` nodule tasks on every training scan that has a nodule; each copy is augmented by itself."""
    structure = cohort.vocabulary.structures[NODULE]
    layers = cohort.layers_of
    scans = [s for s in cohort.patients("train") if NODULE in layers[s] and cohort.present(s, NODULE)]
    return segmentation_tasks(cohort, "train", [(scan, structure) for scan in scans], copies=factor)


def _present(cohort: PreparedCohort, scan_id: str) -> list[Structure]:
    """The structures with at least one voxel in the scan's mask layers, in the vocabulary's order."""
    structures = layer_structures(cohort.vocabulary, cohort.layers_of[scan_id])
    return [s for s in structures if not cohort.present(scan_id, s.layer).isdisjoint(s.ids)]


def _random(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on the seed and on names only."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _opened(cohorts: Mapping[str, PreparedCohort], name: str) -> PreparedCohort:
    if name not in cohorts:
        raise UniferumError("train_on", name, must="have a prepared store", cure=near_miss(name, cohorts))
    return cohorts[name]
