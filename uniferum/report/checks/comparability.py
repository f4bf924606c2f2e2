"""Decide whether a number can be compared with the paper's, by its training, test split, scans and labels.

A number is comparable if its cell is trained as the paper's row (:mod:`uniferum.report.checks.recipe`), and if its
test split follows the paper's rule and is nearly complete. All others are not comparable,
unless ``comparable`` in the grid file gives a reason for the cohort; the reason is then printed. Phantoms are never
comparable. What a comparable number lacks is printed beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from uniferum.data.label_sets import set_of
from uniferum.data.provenance import NAMED, SplitWord
from uniferum.data.vocabulary import Vocabulary
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.recipe import recipe_differences, volume_batch
from uniferum.report.records import CellRecord
from uniferum.report.tables.protocol import left_out
from uniferum.report.tables.splits import tests_fold

ABSENT_AT_MOST = 0.01
"""Largest share of the paper's test scans that may be absent, if each is known by name: 30 of CT-RATE's 3,002. Our
choice: scans that are absent by chance then change an AUROC by a tenth of its standard error, sqrt(0.01 / 0.99)."""

LEFT_OUT_AT_MOST = 0.1
"""Largest share of the labels of a mean that may have only one class in our test split; one label always may. Our
choice."""

ONE_CLASS = ("no positive case", "no negative case")
"""Reasons why a label has no AUROC although its values are known."""

PARTLY_LABELLED = ("INSPECT",)
"""Cohorts in which a label is known for only some scans (censored outcomes, sampled reports: paper 3.4.3), so that N is
the number of known labels. In other cohorts a scan without a known label counts as absent."""

PHANTOMS = "phantoms"
OTHER_LABELS = "another label set than the cohort's own"
NESTED = "nested folds, not the paper's test split"
UNKNOWN = "unknown split: the record does not say which it is"


@dataclass(frozen=True)
class JudgedColumn:
    """What a number measures: the mean over the labels of a group, or one label."""

    cohort: str
    group: str
    label: str
    n_cases: int
    n_labels: int
    n_labels_total: int


@dataclass(frozen=True)
class Comparison:
    """Why a number is not comparable (empty if it is), and remarks on a comparable one."""

    incomparable: str = ""
    said: tuple[str, ...] = ()


def compare(judged: JudgedColumn, records: Sequence[CellRecord], agreement: Margins) -> Comparison:
    """Decide whether a number of cells that differ only in seed or fold can be compared with the paper's.

    Raises:
        UniferumError: the recorded split of a cell is damaged.
    """
    compared = [_of_cell(judged, record, agreement) for record in records] or [
        Comparison(_unless(UNKNOWN, agreement, judged))
    ]
    refused = next((one for one in compared if one.incomparable), None)
    return refused or Comparison("", _distinct(line for one in compared for line in one.said))


def _of_cell(judged: JudgedColumn, record: CellRecord, agreement: Margins) -> Comparison:
    if set_of(judged.cohort) is not None:
        return Comparison(OTHER_LABELS)
    word = record.test_splits.get(judged.cohort)
    if agreement.synthetic or (word is not None and word.phantoms):
        return Comparison(PHANTOMS)
    if tests_fold(record, judged.cohort):
        return Comparison(NESTED)
    faults, said = _split_faults(judged, word)
    more_faults, more_said = ([], []) if judged.label else _label_faults(judged, record)
    why, said = "; ".join([*_training_faults(record), *faults, *more_faults]), [*said, *more_said, *_remarks(record)]
    if not why:
        return Comparison("", tuple(said))
    reason = agreement.comparable.get(judged.cohort)
    return Comparison(why) if reason is None else Comparison("", (f"{why}; compared because: {reason}", *said))


def _training_faults(record: CellRecord) -> list[str]:
    """Differences of the training from the paper's: its split, and the keys of its recipe."""
    keys = recipe_differences(record)
    return [*_folds_faults(record), *([f"differs from the paper in: {', '.join(keys)}"] if keys else [])]


def _remarks(record: CellRecord) -> list[str]:
    return [remark] if (remark := volume_batch(record)) else []


def _folds_faults(record: CellRecord) -> list[str]:
    """Difference of the training split of a cell with folds from the paper's."""
    folds = record.folds
    if folds is None:
        return []
    trained = folds.count - (2 if folds.nested else 1)
    return [f"trained on {trained} of {folds.count} folds, not on the paper's training split"]


def _split_faults(judged: JudgedColumn, word: SplitWord | None) -> tuple[list[str], list[str]]:
    """Differences of the test split from the paper's, and remarks on it."""
    if word is None:
        return [UNKNOWN], []
    said = [_absent(word)] if word.absent else []
    unlabelled = word.found - judged.n_cases
    if unlabelled < 0:
        return [f"scored on {judged.n_cases} scans, more than the {word.found} of the recorded split"], said
    if judged.cohort in PARTLY_LABELLED and unlabelled > 0:
        said.append(f"N = {judged.n_cases}, the known labels of {word.found} scans")
    if not word.papers:
        return [f"not the paper's split ({word.name})"], said
    lacking = max(0, unlabelled) if judged.cohort not in PARTLY_LABELLED else 0
    if lacking:
        said.append(f"{lacking} scans without a known label")
    return _whole(word, lacking), said


def _whole(word: SplitWord, unlabelled: int) -> list[str]:
    """Why a split that follows the paper's rule has too many or too few scans; empty if it is nearly complete."""
    assert word.expected is not None, "a split that is the paper's has the paper's size"
    absent, unnamed = word.expected - word.found, word.expected - word.found - word.absent
    if unnamed < 0:
        return [f"{-unnamed} scans that the paper's split of {word.expected} does not have"]
    if absent + unlabelled > ABSENT_AT_MOST * word.expected:
        text = f"{absent} scans absent" + (f", {unlabelled} without a known label" if unlabelled else "")
        return [f"{text} of {word.expected} (judged up to {ABSENT_AT_MOST:.0%})"]
    return [f"{absent} scans absent, {unnamed} of them unknown by name"] if unnamed else []


def _absent(word: SplitWord) -> str:
    return f"{word.absent} scans absent ({word.first_names})"


def _label_faults(judged: JudgedColumn, record: CellRecord) -> tuple[list[str], list[str]]:
    """Differences of the labels of a mean from the paper's, and remarks on labels that are left out."""
    listed = Vocabulary.load().groups.get((judged.cohort, judged.group), ())
    total, scored = judged.n_labels_total, judged.n_labels
    if total != len(listed):
        return [f"another label list: {total} labels, the paper's has {len(listed)}"], []
    reasons = record.label_reasons.get((judged.cohort, judged.group), {})
    others = sorted(set(reasons) - set(listed))
    if others:
        return [f"another label list: {_few(others)} not in the paper's"], []
    _, without = left_out(record, (judged.cohort, judged.group))
    if not without and scored == total:
        return [], []
    one_class = [label for label, reason in reasons.items() if reason in ONE_CLASS]
    detail = f"{scored} of {total} labels" + (f", without {_few(without)}" if without else "")
    if len(one_class) != total - scored or len(one_class) > max(1, LEFT_OUT_AT_MOST * total):
        return [f"scored on {detail}"], []
    return [], [f"judged on {detail}"]


def _few(names: Sequence[str]) -> str:
    """Join the first few names, and count the others."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _unless(why: str, agreement: Margins, judged: JudgedColumn) -> str:
    """Why a number without a record is not comparable."""
    if agreement.synthetic:
        return PHANTOMS
    return "" if judged.cohort in agreement.comparable else why


def _distinct(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))
