"""Refuse a store whose splits do not fit: unknown words, tables that contradict each other, or an empty split.

A store that was prepared from the training scans alone has nothing to select or to score on; without this check a run
would find out after its training.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from uniferum.data.commands import cohort_args, prepare_command
from uniferum.data.content import SPLITS
from uniferum.errors import UniferumError, near_miss

if TYPE_CHECKING:
    from uniferum.data.content import Content
    from uniferum.data.prepared import PreparedCohort

PURPOSE = {"train": "train on", "validation": "select on", "test": "score"}


def refuse_splits(cohort: "Content | PreparedCohort", needed: Iterable[str]) -> None:
    """Refuse a store that does not fit a run.

    Args:
        cohort: the tables of its store.
        needed: the splits that the run reads.

    Raises:
        UniferumError: an unknown split, labels of scans that the manifest does not name, or a needed split without a
            scan.
    """
    sizes, where = cohort.split_sizes(), f"store {cohort.path} of {cohort.name}"
    again = f"prepare the whole cohort again: {prepare_command(cohort_args(cohort.card, 'COHORT.yaml'), cohort.path)}"
    for split in sizes:
        if split not in SPLITS:
            cure = f"{near_miss(split, SPLITS)}; {again}"
            raise UniferumError(f"{where}: manifest.parquet: split", split, must="be a known split", cure=cure)
    strangers = cohort.unlisted()
    if strangers:
        shown = f"{len(strangers):,} scans with labels are not in manifest.parquet, e.g. {strangers[0]}"
        must = "belong to the same preparation as the manifest"
        raise UniferumError(f"{where}: labels.parquet", shown, must=must, cure=again)
    for split in needed:
        if not sizes.get(split):
            shown = ", ".join(f"{name} {sizes.get(name, 0):,}" for name in SPLITS)
            must = f"hold a {split} scan to {PURPOSE[split]}"
            raise UniferumError(f"{where}: splits", shown, must=must, cure=f"is it a store of another split? {again}")
