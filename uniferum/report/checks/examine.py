"""Check the paper's claims on the user's cells: difference, interval, p value and outcome of each check.

Outcomes: ``holds``, ``contradicted``, ``inconclusive``, ``missing`` (:mod:`uniferum.report.checks.readings`). All seeds
of a cell are used; the error over seeds is counted beside that over cases. The gains of one claim are one family
(Holm); nothing else is adjusted. If the data is not comparable with the paper's, the verdict is ``not comparable``; the
outcome is printed beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import pandas as pd

from uniferum.evaluation.comparison import align, group_difference, label_difference
from uniferum.evaluation.multiple_testing import holm
from uniferum.report.checks.claims import CLAIMS, Check, Claim
from uniferum.report.checks.comparability import JudgedColumn, compare
from uniferum.report.checks.compare import NEEDED
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.readings import Tested, combined, how, reading
from uniferum.report.checks.uncertainty import Z95, papers_spread, published_error
from uniferum.report.published import find
from uniferum.report.records import CellRecord, RowKey, Score
from uniferum.report.systems import PAPER_TEXT
from uniferum.report.tables.naming import not_the_papers, parts
from uniferum.report.tables.pivot import label_scores
from uniferum.report.tables.seed_spread import SeedSpread, pooled


@dataclass(frozen=True)
class ClaimFinding:
    """The outcome of one check; ``ours`` is a difference for comparisons and a value otherwise."""

    claim: Claim
    check: Check
    ours: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    seeds: tuple[int, ...] = ()
    """The seeds of the cell that are averaged."""
    by_seed: tuple[float, ...] = ()
    """The number of each seed; of a comparison only if both cells have the same seeds."""
    tested: Tested | None = None
    p: float = math.nan
    adjusted: float = math.nan
    reading: str = "missing"
    incomparable: str = ""
    said: tuple[str, ...] = ()
    """Remarks on a comparable check."""
    because: str = ""
    apart: str = ""
    """Why the printed number cannot be compared: phantoms, or another system than the paper's."""

    @property
    def verdict(self) -> str:
        """The outcome, or ``not comparable``."""
        return "not comparable" if self.incomparable and self.reading != "missing" else self.reading


def examine(
    records: Sequence[CellRecord], agreement: Margins, *, common: bool = False, claims: Sequence[Claim] = CLAIMS
) -> list[ClaimFinding]:
    """Run every check of every claim, in order.

    Args:
        records: finished cells. All seeds of a row are averaged; of several folds the lowest is used. With axes in the
            grid, only the cell without an axis value is the paper's row. If no cell has a text encoder of the paper,
            the claims are checked on the first two encoders of the cells.
        agreement: margins and comparability of the grid file.
        common: compare cells on the cases that both have.
        claims: the claims that are checked.

    Raises:
        UniferumError: two cells were scored on different cases, and ``common`` is not set.
    """
    reader, played = _Reader(records, common), dict(zip(PAPER_TEXT, parts(records), strict=True))
    findings: list[ClaimFinding] = []
    for claim in claims:
        checked = [_examined(claim, _played(check, played), reader, agreement) for check in claim.checks]
        gains = [one for one in checked if one.check.kind == "gain" and one.tested is not None]
        adjusted = {id(one): float(p) for one, p in zip(gains, holm([one.p for one in gains]), strict=True)}
        family = len(gains)
        findings.extend(
            _read(replace(one, adjusted=adjusted.get(id(one), math.nan)), agreement, family) for one in checked
        )
    return findings


def _played(check: Check, encoders: Mapping[str, str]) -> Check:
    """Replace the paper's encoders in a check by those of the cells."""
    row, base = (row and (row[0], encoders.get(row[1], row[1]), row[2]) for row in (check.row, check.base))
    assert row is not None
    return replace(check, row=row, base=base)


class _Reader:
    """The cells of each row, all seeds of them; each prediction file is read once."""

    def __init__(self, records: Sequence[CellRecord], common: bool) -> None:
        self.common = common
        self.of_row: dict[RowKey, list[CellRecord]] = {}
        self.varied: dict[RowKey, list[str]] = {}
        """Axes of rows all of whose cells have an axis value."""
        for record in records:
            if record.axes:
                self.varied.setdefault(record.row, []).extend(record.axes)
            else:
                self.of_row.setdefault(record.row, []).append(record)
        for row, cells in self.of_row.items():
            fold = min(one.repeat[1] for one in cells)
            self.of_row[row] = sorted((one for one in cells if one.repeat[1] == fold), key=lambda one: one.seed)
        self._tables: dict[str, pd.DataFrame] = {}
        self._spreads: dict[tuple[str, str, str, bool], SeedSpread] = {}

    def part(self, record: CellRecord, check: Check) -> pd.DataFrame:
        """Select the cases of the column of a check, or of its label."""
        if record.name not in self._tables:
            self._tables[record.name] = record.predictions(NEEDED)
        table = self._tables[record.name]
        wanted = (table["cohort"] == check.column[0]) & (table["group"] == check.column[1])
        return table.loc[wanted & (table["label"] == check.label)] if check.label else table.loc[wanted]

    def scores(self, row: RowKey, check: Check) -> list[Score]:
        """The stored score of each seed of a row."""
        return [one for record in self.of_row[row] for one in _stored(record, check) if math.isfinite(one.value)]

    def spread(self, check: Check, *, papers: bool) -> SeedSpread:
        """The spread over seeds in the column of a check, pooled over all rows; with the paper's for its systems."""
        key = (*check.column, check.label, papers)
        if key not in self._spreads:
            values = [[one.value for one in self.scores(row, check)] for row in self.of_row]
            own = [(stdev(of), len(of)) for of in values if len(of) > 1]
            prior = papers_spread("auroc", *check.column) if papers and not check.label else None
            self._spreads[key] = pooled(own, prior)
        return self._spreads[key]

    def absent(self, row: RowKey) -> str:
        """Why a row has no cell that is the paper's."""
        name = " ".join(part for part in row if part)
        axes = ", ".join(dict.fromkeys(self.varied.get(row, ())))
        return f"every cell {name} has a value of {axes}: none is the paper's row" if axes else f"no cell {name}"


def _stored(record: CellRecord, check: Check) -> list[Score]:
    if not check.label:
        return [one for one in record.groups if (one.cohort, one.group, one.metric) == (*check.column, "auroc")]
    if record.recomputed is None and not record.files.metrics.exists():
        return []
    wanted = (*check.column, check.label)
    return [one for one in label_scores(record, "auroc") if (one.cohort, one.group, one.label) == wanted]


def _examined(claim: Claim, check: Check, reader: _Reader, agreement: Margins) -> ClaimFinding:
    rows = [row for row in (check.row, check.base) if row is not None]
    absent = [row for row in rows if row not in reader.of_row]
    if absent:
        return ClaimFinding(claim, check, because=reader.absent(absent[0]))
    part = reader.part(reader.of_row[check.row][0], check)
    if part.empty:
        return ClaimFinding(claim, check, because="not evaluated there")
    shown = [record for row in rows for record in reader.of_row[row]]
    cases, labels = len(part["volume_id"].unique()), _labels(reader, check)
    compared = compare(JudgedColumn(*check.column, check.label, cases, *labels), shown, agreement)
    other = next(iter(not_the_papers(shown).values()), "")
    seeds = tuple(one.seed for one in reader.of_row[check.row])
    blank = ClaimFinding(
        claim, check, incomparable=other or compared.incomparable, said=compared.said, apart=other, seeds=seeds
    )
    return _compared(blank, reader) if check.base is not None else _valued(blank, reader)


def _labels(reader: _Reader, check: Check) -> tuple[int, int]:
    """Number of scored labels of the column, and of all its labels."""
    scores = (one for one in reader.of_row[check.row][0].groups if (one.cohort, one.group) == check.column)
    return next(((one.n_labels, one.n_labels_total) for one in scores if one.metric == "auroc"), (0, 0))


def _compared(blank: ClaimFinding, reader: _Reader) -> ClaimFinding:
    """Add the difference of the means over the seeds of both rows."""
    check = blank.check
    assert check.base is not None, "a comparison has a base"
    first, second = reader.of_row[check.base], reader.of_row[check.row]
    cases = align({one.name: reader.part(one, check) for one in (*first, *second)}, common=reader.common)
    sides = range(len(first)), range(len(first), len(first) + len(second))
    one = cases.get((*check.column, check.label))
    if check.label:
        made = label_difference(one, sides) if one is not None else None
    else:
        made = group_difference(cases, check.column, sides)
    if made is None:
        return replace(blank, because="no label has both classes")
    if not math.isfinite(made.test.lo):
        return replace(blank, ours=made.test.difference, because=made.reason or "no interval")
    spread = reader.spread(check, papers=not blank.apart)
    of_seeds = spread.value * math.sqrt(1 / len(first) + 1 / len(second)) if spread.known else 0.0
    tested = combined(
        made.test.difference,
        cases=made.test.se,
        of_cases=made.test.freedom,
        seeds=of_seeds,
        of_seeds=max(spread.freedom, 1),
    )
    lo, hi = tested.interval()
    paired = [one.seed for one in first] == [one.seed for one in second]
    values = made.means[len(first) :], made.means[: len(first)]
    by_seed = tuple(a - b for a, b in zip(*values, strict=True)) if paired else ()
    said = (*blank.said, _spread_said(spread))
    return replace(blank, ours=tested.difference, lo=lo, hi=hi, tested=tested, p=tested.p, by_seed=by_seed, said=said)


def _spread_said(spread: SeedSpread) -> str:
    if not spread.known:
        return "the spread over seeds is unknown: for these seeds alone"
    return f"spread over seeds {spread.value:.4f} ({spread.said})"


def _valued(blank: ClaimFinding, reader: _Reader) -> ClaimFinding:
    """Add the mean over seeds, and its difference to the printed value."""
    check = blank.check
    scores = reader.scores(check.row, check)
    measured = [one for one in scores if math.isfinite(one.lo)]
    if not measured:
        few = next((one.reason for one in scores if one.reason), "a cell to evaluate again")
        return replace(blank, because=f"no interval: {few}")
    value = fmean(one.value for one in scores)
    spread = reader.spread(check, papers=not blank.apart)
    of_seeds = spread.value / math.sqrt(len(scores)) if spread.known else 0.0
    of_cases = fmean((one.hi - one.lo) / 2 for one in measured) / Z95
    positives = round(measured[0].prevalence * measured[0].n_cases) if check.kind == "near" else 0
    paper, said = math.nan, ""
    if check.kind == "near":
        printed = find("auroc", check.row, check.column[0], check.label or check.column[1])
        paper, said = published_error(printed, positives, measured[0].n_cases - positives)
    cases = math.hypot(of_cases, 0.0 if math.isnan(paper) else paper)
    difference = value - (check.printed or 0.0)
    tested = combined(difference, cases=cases, of_cases=math.inf, seeds=of_seeds, of_seeds=max(spread.freedom, 1))
    lo, hi = (value - difference + edge for edge in tested.interval())
    remarks = tuple(part for part in (*blank.said, _spread_said(spread), said) if part)
    by_seed = tuple(one.value for one in scores)
    return replace(blank, ours=value, lo=lo, hi=hi, tested=tested, p=tested.p, by_seed=by_seed, said=remarks)


def _read(finding: ClaimFinding, agreement: Margins, family: int) -> ClaimFinding:
    if finding.tested is None:
        known = math.isfinite(finding.ours)
        return replace(finding, reading="inconclusive") if known else finding
    margin = agreement.margin("auroc", *finding.check.column)
    p = finding.adjusted if math.isfinite(finding.adjusted) else finding.p
    because = "; ".join((how(finding.check, family, margin), *finding.said))
    return replace(finding, reading=reading(finding.check, finding.tested, p, margin), because=because)
