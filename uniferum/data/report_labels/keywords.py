"""Select the reports to judge for a label: all that mention it, and as many that do not (paper 3.4.3).

"We first applied keyword matching ... We then randomly sampled equal numbers of reports as potential negatives." A
report that is not selected stays unknown.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from pydantic import Field

from uniferum.config import Section, load_yaml, parse
from uniferum.data.cohorts.tables import drawn_first
from uniferum.data.vocabulary import TERMS
from uniferum.errors import UniferumError, near_miss


@dataclass(frozen=True)
class Report:
    """A report's id in the dataset, and its text, which is never written to a file."""

    id: str
    text: str


@dataclass(frozen=True)
class LabelQuestion:
    """One report to judge for one label."""

    report: Report
    label: str


@dataclass(frozen=True)
class Chosen:
    """Report ids by label: those that mention it, and as many drawn from the others."""

    candidates: Mapping[str, frozenset[str]]
    drawn: Mapping[str, frozenset[str]]

    def count(self) -> int:
        """Total number of questions."""
        return sum(map(len, self.candidates.values())) + sum(map(len, self.drawn.values()))


class Keywords(Section):
    """Phrases of one label, and phrases that only look similar."""

    phrases: tuple[str, ...] = Field(min_length=1)
    exceptions: tuple[str, ...] = Field(default=(), alias="except")


def mentions(label: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each phrase in ``text`` that mentions the label.

    Raises:
        UniferumError: the label has no keywords.
    """
    phrases, exceptions = _patterns(label)
    if exceptions is not None:
        text = exceptions.sub(lambda match: " " * len(match.group()), text)
    yield from (match.span() for match in phrases.finditer(text))


def choose(reports: Iterable[Report], labels: Iterable[str], seed: int) -> Chosen:
    """Select the reports to judge for each label: candidates by keyword, and as many others drawn by ``seed``.

    Args:
        reports: every report once; only their ids are stored.
        labels: label ids.
        seed: seed of the drawn reports; if too few are left, fewer are drawn.
    """
    candidates: dict[str, set[str]] = {label: set() for label in labels}
    ids: list[str] = []
    for report in reports:
        ids.append(report.id)
        for label, mentioning in candidates.items():
            if next(mentions(label, report.text), None) is not None:
                mentioning.add(report.id)
    drawn = {
        label: drawn_first((i for i in ids if i not in mentioning), len(mentioning), seed)
        for label, mentioning in candidates.items()
    }
    return Chosen({label: frozenset(mentioning) for label, mentioning in candidates.items()}, drawn)


def questions(reports: Iterable[Report], chosen: Chosen) -> Iterator[LabelQuestion]:
    """Yield the questions in the order of the reports, with one report's text in memory at a time."""
    for report in reports:
        for label in chosen.candidates:
            if report.id in chosen.candidates[label] or report.id in chosen.drawn[label]:
                yield LabelQuestion(report, label)


@cache
def _table() -> dict[str, Keywords]:
    path = TERMS / "report_keywords.yaml"
    return {label: parse(Keywords, entry, source=f"{path}: {label}") for label, entry in load_yaml(path).items()}


@cache
def _patterns(label: str) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
    table = _table()
    if label not in table:
        cure = near_miss(label, table)
        raise UniferumError("report_keywords.yaml: label", label, must="have keywords", cure=cure)
    entry = table[label]
    return _pattern(entry.phrases), _pattern(entry.exceptions) if entry.exceptions else None


def _pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    joined = "|".join(
        r"[\s-]+".join(re.escape(word).replace(r"\*", r"\w*") for word in phrase.split())
        for phrase in sorted(phrases, key=len, reverse=True)
    )
    return re.compile(rf"\b(?:{joined})\b", re.IGNORECASE)
