"""Count the rows of a run before it starts, and find labels that cannot be scored."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from uniferum.data.commands import cohort_args, prepare_command
from uniferum.data.organ_rows import refuse_missing
from uniferum.data.row_counts import PlannedRows, planned_nodules, planned_rows
from uniferum.data.splits import refuse_folds, refuse_splits
from uniferum.run.config import NODULE_COHORT, RunConfig
from uniferum.run.identity import Reading
from uniferum.run.stores import SELECTION_SPLIT, TEST_SPLIT, TRAINING_SPLIT

if TYPE_CHECKING:
    from uniferum.data.content import Content
    from uniferum.data.prepared_cohort import PreparedCohort

COHORTS_FILE = "configs/cohorts/inspect.yaml"


def splits_read(config: RunConfig, *, only_scores: bool = False) -> dict[str, tuple[str, ...]]:
    """Map cohorts to the splits that a run reads; with ``only_scores`` nothing is trained."""
    read = {
        TRAINING_SPLIT: config.trained_stores,
        SELECTION_SPLIT: config.selection_cohorts,
        TEST_SPLIT: config.evaluate_on,
    }
    names = dict.fromkeys(name for cohorts in read.values() for name in cohorts)
    needed = {TEST_SPLIT: read[TEST_SPLIT]} if only_scores else read
    return {name: tuple(split for split, cohorts in needed.items() if name in cohorts) for name in names}


def rows_of_cohort(reading: Reading, name: str, config: RunConfig) -> PlannedRows:
    """Count the rows of one training cohort from the tables of its store, without opening scans.

    Raises:
        UniferumError: the store is missing or unreadable.
    """
    cohort = reading.as_run(name, config)
    if name == NODULE_COHORT and config.segmentation and config.sampling.luna_factor:
        return planned_nodules(cohort, config.sampling)
    if config.reads_reports:
        return PlannedRows(name, len(cohort.scans_in(TRAINING_SPLIT)), {})
    return planned_rows(cohort, config.sampling, segmentation=config.segmentation)


def rows_of_run(reading: Reading, config: RunConfig) -> list[PlannedRows]:
    """Count the rows of each training cohort; raises like :func:`rows_of_cohort`."""
    return [rows_of_cohort(reading, name, config) for name in config.trained_stores]


def refuse_stores(reading: Reading, config: RunConfig, *, only_scores: bool = False) -> None:
    """Refuse a store whose splits do not fit the run, and a damaged label file; ``only_scores``: nothing is trained.

    Raises:
        UniferumError: names the first problem.
    """
    for name, splits in splits_read(config, only_scores=only_scores).items():
        folds = config.folds_of(name)
        if folds is not None:
            refuse_folds(reading.cohort(name), folds)
        refuse_splits(reading.cohort(name).for_training("keep", folds), splits)
    reading.label_sets(config)


def refuse_run(reading: Reading, config: RunConfig, *, only_scores: bool = False) -> None:
    """Refuse a run before it starts, like :func:`refuse_stores`, and a training with missing masks.

    Raises:
        UniferumError: names the first problem.
    """
    refuse_stores(reading, config, only_scores=only_scores)
    for rows in [] if only_scores else rows_of_run(reading, config):
        if rows.masks is not None:
            cohort = reading.cohort(rows.cohort)
            refuse_missing(rows.masks, config.sampling.missing_masks, cohort.card, reading.stores[rows.cohort])


def planned_lines(reading: Reading, config: RunConfig) -> list[str]:
    """One sentence per cohort on its training rows, and one per group of labels that cannot be scored."""
    lines = []
    for rows in rows_of_run(reading, config):
        counts = f"{rows.positive:,} positive and {rows.negative:,} negative rows of {rows.scans:,} scans"
        lines += [f"rows of {rows.cohort}: {counts}"] if rows.labels else []
        lines += [rows.masks.sentence()] if rows.masks is not None else []
    lines += [line for name in config.evaluate_on for line in unscored(reading.cohort(name))]
    return [*lines, *label_set_lines(reading, config)]


def label_set_lines(reading: Reading, config: RunConfig) -> list[str]:
    """One sentence per label file that the run is scored under: its scans, labels and positives."""
    from uniferum.data.label_sets import described

    return [described(one.record()) for one in reading.label_sets(config)]


def unscored(cohort: "Content | PreparedCohort") -> Iterator[str]:
    """One sentence, with its remedy, for each group with labels without known values in the test split."""
    known, words = cohort.label_counts(TEST_SPLIT), cohort.vocabulary
    for (name, group), labels in words.groups.items():
        absent = [label for label in labels if label not in known]
        if name != cohort.name or not absent:
            continue
        whole = len(absent) == len(labels)
        which = f"all {len(labels)}" if whole else f"{len(absent)} of {len(labels)}"
        named = ", so that it is not scored" if whole else f": {', '.join(absent)}"
        shipped = words.columns(name).keys() & set(absent)
        cure = f"; {_label_command(cohort)}" if (name, group) in words.evaluation_only and not shipped else ""
        yield f"scores of {name} {group}: {which} labels have no known value in the test split{named}{cure}"


def _label_command(cohort: "Content | PreparedCohort") -> str:
    """The commands that add labels from reports to a store."""
    file, root = str(cohort.card.get("config") or COHORTS_FILE), cohort.card.get("root")
    base = cohort_args(cohort.card, COHORTS_FILE)
    table = f"{root or 'ROOT'}/report_labels.csv"
    return (
        f"make report_labels with: uniferum data label-reports {base} --out {shlex.quote(table)} ; set report_labels:"
        f" report_labels.csv in {file} ; {prepare_command(base, cohort.path)}"
    )
