"""Refuse a store with invalid splits: unknown names, contradicting tables, an empty split, folds that do not fit.

A store that was prepared only from training scans has no scans for selection or testing; without this check, a run
would fail only after its training.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from uniferum.data.commands import cohort_args, prepare_command
from uniferum.data.content import SPLITS
from uniferum.data.folds import DIVIDED, Folds
from uniferum.errors import UniferumError, near_miss

if TYPE_CHECKING:
    from uniferum.data.content import Content
    from uniferum.data.prepared_cohort import PreparedCohort

PURPOSE = {"train": "train on", "validation": "select on", "test": "score"}


def refuse_splits(cohort: "Content | PreparedCohort", needed: Iterable[str]) -> None:
    """Refuse a store whose splits do not fit a run.

    Args:
        cohort: tables of the cohort's store.
        needed: splits that the run reads.

    Raises:
        UniferumError: a split is unknown, scans with labels are not in the manifest, or a needed split is empty.
    """
    sizes, store = cohort.split_sizes(), f"store {cohort.path} of {cohort.name}"
    again = f"prepare the whole cohort again: {prepare_command(cohort_args(cohort.card, 'COHORT.yaml'), cohort.path)}"
    for split in sizes:
        if split not in SPLITS:
            cure = f"{near_miss(split, SPLITS)}; {again}"
            raise UniferumError(f"{store}: manifest.parquet: split", split, must="be a known split", cure=cure)
    strangers = cohort.unlisted()
    if strangers:
        problem = f"{len(strangers):,} scans with labels are not in manifest.parquet, e.g. {strangers[0]}"
        must = "belong to the same preparation as the manifest"
        raise UniferumError(f"{store}: labels.parquet", problem, must=must, cure=again)
    for split in needed:
        if not sizes.get(split):
            shown = ", ".join(f"{name} {sizes.get(name, 0):,}" for name in SPLITS)
            must = f"hold a {split} scan to {PURPOSE[split]}"
            cure = f"check that it is not a store of another split; {again}"
            raise UniferumError(f"{store}: splits", shown, must=must, cure=cure)


def refuse_folds(cohort: "Content | PreparedCohort", folds: Folds) -> None:
    """Refuse a division into folds that does not fit a cohort.

    Args:
        cohort: tables of the cohort's store, with the splits of the store.
        folds: the division.

    Raises:
        UniferumError: nested folds would divide a given test split, or the cohort has fewer patients than folds.
    """
    where, sizes = f"store {cohort.path} of {cohort.name}", cohort.split_sizes()
    word = cohort.splits.get("test")
    if folds.nested and word is not None and word.seed is None:
        must = f"not be divided by nested folds: the split is given ({word.name}), not drawn"
        cure = "leave out nested (data.nested_folds); then folds divide training and validation only"
        raise UniferumError(f"{where}: test split", f"{sizes.get('test', 0):,} scans", must=must, cure=cure)
    divided = sizes if folds.nested else DIVIDED
    patients = len({patient for split in divided for patient in cohort.patients(split).values()})
    if patients < folds.count:
        must = f"be at least the number of folds ({folds.count})"
        raise UniferumError(f"{where}: patients to divide", patients, must=must, cure="use fewer folds")
