"""What of a table's protocol is printed below it, and what only with ``--protocol``.

Below a table stand the number of test volumes of each cohort and the lines of class :class:`ShownLine`: what a reader
must know to read the numbers.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from uniferum.report.tables.entries import ReportTable
from uniferum.report.tables.sheet import Sheet

FOLDED = "--protocol prints the rest of the protocol: labels, splits, training rows, inputs, checkpoints."
TOGETHER = "For all tables above:"


class ShownLine(str):
    """A line of the protocol that is printed below its table in any case."""

    __slots__ = ()


def folded(table: ReportTable) -> tuple[list[str], list[str]]:
    """The lines that are printed below a table, and the others."""
    kept = [line for line in table.protocol if isinstance(line, ShownLine)]
    rest = [line for line in table.protocol if not isinstance(line, ShownLine)]
    return [*volumes_line(table), *kept, *([FOLDED] if rest else [])], rest


def volumes_line(table: ReportTable) -> list[str]:
    """One sentence with the number of test cases and patients of each cohort; cells with others are counted."""
    facts = (*table.row_facts, *table.column_facts)
    if "cohort" not in facts:
        return []
    counts: dict[str, Counter[str]] = {}
    for (row, column), entry in table.entries.items():
        if entry.known and entry.n_cases:
            cohort = dict(zip(facts, (*row, *column), strict=True))["cohort"]
            patients = 0 if table.unit == "patient" else entry.n_patients
            counts.setdefault(cohort, Counter())[_count(entry.n_cases, patients)] += 1
    said = [f"{cohort} {_said(numbers)}" for cohort, numbers in counts.items()]
    return [f"Test {table.unit}s: {'; '.join(said)}."] if said else []


def _count(cases: int, patients: int) -> str:
    return f"{cases} of {patients} patients" if patients else str(cases)


def _said(counts: Counter[str]) -> str:
    (most, _), *others = counts.most_common()
    numbers = sum(count for _, count in others)
    return most if not others else f"{most}, for {numbers} numbers fewer or others"


def shared_once(sheets: Sequence[Sheet]) -> list[Sheet]:
    """Print the lines that stand below every one of several sheets once, below the last."""
    if len(sheets) < 2:
        return list(sheets)
    common = [line for line in sheets[0].below if all(line in one.below for one in sheets[1:])]
    if not common:
        return list(sheets)
    own = [replace(one, below=[line for line in one.below if line not in common]) for one in sheets]
    return [*own[:-1], replace(own[-1], below=[*own[-1].below, TOGETHER, *common])]
