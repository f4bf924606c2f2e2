"""Whether a number may be judged against the paper's, by the split, the scans and the labels that it rests on.

A number is judged where its test split is made by the paper's own rule and nearly whole. Everything else is not
comparable, unless the grid file's ``comparable`` gives a reason for the cohort, which is then printed. Phantoms never
compare. What a judged number lacks is said beside it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from uniferum.data.provenance import NAMED, SplitWord
from uniferum.data.vocabulary import Vocabulary
from uniferum.report.checks.margins import Margins
from uniferum.report.records import CellRecord
from uniferum.report.tables.protocol import left_out

ABSENT_AT_MOST = 0.01
"""The share of the paper's test scans that may be absent, each known by name: 30 of CT-RATE's 3,002. Our choice: scans
that are absent by chance then move an area by a tenth of its standard error, sqrt(0.01 / 0.99)."""

LEFT_OUT_AT_MOST = 0.1
"""The share of a mean's labels that may have one class alone in ours; one label always may. Our choice."""

ONE_CLASS = ("no positive case", "no negative case")
"""Why a label has no area that is scored all the same; a label without a known value is not scored."""

PARTLY_LABELLED = ("INSPECT",)
"""Cohorts of which the dataset itself knows a label of some scans alone (censored outcomes, sampled reports: paper
3.4.3), so that N is the known labels; of the others a scan without a known label is absent."""

PHANTOMS = "phantoms"
UNKNOWN = "unknown split: the record does not say which it is"


@dataclass(frozen=True)
class JudgedColumn:
    """What a number is of: a mean over a group's labels, or one label of it."""

    cohort: str
    group: str
    label: str
    n_cases: int
    n_labels: int
    n_labels_total: int


@dataclass(frozen=True)
class Comparison:
    """Why a number is not comparable, empty where it is; and what is to be said beside one that is."""

    incomparable: str = ""
    said: tuple[str, ...] = ()


def compare(place: JudgedColumn, records: Sequence[CellRecord], agreement: Margins) -> Comparison:
    """Whether a number of some cells, the seeds of one row, may be judged against the paper's.

    Raises:
        UniferumError: a record's word on its split is damaged.
    """
    made = [_of_cell(place, record, agreement) for record in records] or [
        Comparison(_unless(UNKNOWN, agreement, place))
    ]
    refused = next((one for one in made if one.incomparable), None)
    return refused or Comparison("", _distinct(line for one in made for line in one.said))


def _of_cell(place: JudgedColumn, record: CellRecord, agreement: Margins) -> Comparison:
    word = record.test_splits.get(place.cohort)
    if agreement.synthetic or (word is not None and word.phantoms):
        return Comparison(PHANTOMS)
    faults, said = _split_faults(place, word)
    more_faults, more_said = ([], []) if place.label else _label_faults(place, record)
    why, said = "; ".join([*faults, *more_faults]), [*said, *more_said]
    if not why:
        return Comparison("", tuple(said))
    reason = agreement.comparable.get(place.cohort)
    return Comparison(why) if reason is None else Comparison("", (f"{why}; compared because: {reason}", *said))


def _split_faults(place: JudgedColumn, word: SplitWord | None) -> tuple[list[str], list[str]]:
    """What makes the test split another than the paper's, and what is only to be said of it."""
    if word is None:
        return [UNKNOWN], []
    said = [_absent(word)] if word.absent else []
    unlabelled = word.found - place.n_cases
    if unlabelled < 0:
        return [f"scored on {place.n_cases} scans, more than the {word.found} of the recorded split"], said
    if place.cohort in PARTLY_LABELLED and unlabelled > 0:
        said.append(f"N = {place.n_cases}, the known labels of {word.found} scans")
    if not word.papers:
        return [f"not the paper's split ({word.name})"], said
    lacking = max(0, unlabelled) if place.cohort not in PARTLY_LABELLED else 0
    if lacking:
        said.append(f"{lacking} scans without a known label")
    return _whole(word, lacking), said


def _whole(word: SplitWord, unlabelled: int) -> list[str]:
    """Why a split that is made by the paper's rule is not nearly the paper's scans."""
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


def _label_faults(place: JudgedColumn, record: CellRecord) -> tuple[list[str], list[str]]:
    """What makes the labels of a mean others than the paper's, and which are left out."""
    listed = Vocabulary.load().groups.get((place.cohort, place.group), ())
    total, scored = place.n_labels_total, place.n_labels
    if total != len(listed):
        return [f"another label list: {total} labels, the paper's has {len(listed)}"], []
    reasons = record.label_reasons.get((place.cohort, place.group), {})
    others = sorted(set(reasons) - set(listed))
    if others:
        return [f"another label list: {_few(others)} not in the paper's"], []
    _, without = left_out(record, (place.cohort, place.group))
    if not without and scored == total:
        return [], []
    one_class = [label for label, reason in reasons.items() if reason in ONE_CLASS]
    detail = f"{scored} of {total} labels" + (f", without {_few(without)}" if without else "")
    if len(one_class) != total - scored or len(one_class) > max(1, LEFT_OUT_AT_MOST * total):
        return [f"scored on {detail}"], []
    return [], [f"judged on {detail}"]


def _few(names: Sequence[str]) -> str:
    """The first few of some names, and how many more."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _unless(why: str, agreement: Margins, place: JudgedColumn) -> str:
    """The reason of a number whose cell is not at hand."""
    if agreement.synthetic:
        return PHANTOMS
    return "" if place.cohort in agreement.comparable else why


def _distinct(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))
