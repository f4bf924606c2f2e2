"""Check the paper's claims on the user's cells: difference, interval, p value and outcome of each check.

Outcomes: ``holds``, ``contradicted``, ``inconclusive``, ``missing``. The tests of one claim are one family (Holm). If
the data is not comparable with the paper's, the verdict is ``not comparable``; the outcome is printed beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from uniferum.evaluation.comparison import align, group_difference
from uniferum.evaluation.delong import PairedTest, delong
from uniferum.evaluation.multiple_testing import holm
from uniferum.report.checks.claims import CLAIMS, Check, Claim
from uniferum.report.checks.comparability import JudgedColumn, compare
from uniferum.report.checks.margins import Margins
from uniferum.report.records import CellRecord, RowKey
from uniferum.report.systems import PAPER_TEXT
from uniferum.report.tables.naming import not_the_papers, parts
from uniferum.report.tables.rendering import row_names
from uniferum.report.tables.sheet import Sheet
from uniferum.systems import UNIFERUM
from uniferum.value_labels import natural

LEVEL = 0.05
NEEDED = ["cohort", "group", "label", "volume_id", "patient_id", "target", "score"]


@dataclass(frozen=True)
class ClaimFinding:
    """The outcome of one check; ``ours`` is a difference for comparisons and a value otherwise."""

    claim: Claim
    check: Check
    ours: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
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
        records: finished cells. Of several seeds and folds the lowest is used, because the paper has one. If no cell
            has a text encoder of the paper, the claims are checked on the first two encoders of the cells.
        agreement: margins and comparability of the grid file.
        common: compare cells on the cases that both have.
        claims: the claims that are checked.

    Raises:
        UniferumError: two cells were scored on different cases, and ``common`` is not set.
    """
    cells: dict[RowKey, CellRecord] = {}
    for record in sorted(records, key=lambda one: one.repeat, reverse=True):
        cells[record.row] = record
    reader, played = _Reader(cells, common), dict(zip(PAPER_TEXT, parts(records), strict=True))
    findings: list[ClaimFinding] = []
    for claim in claims:
        checked = [_examined(claim, _played(check, played), reader, agreement) for check in claim.checks]
        adjusted = holm([one.p for one in checked])
        findings.extend(
            _read(replace(one, adjusted=float(p)), agreement) for one, p in zip(checked, adjusted, strict=True)
        )
    return findings


def _played(check: Check, encoders: Mapping[str, str]) -> Check:
    """Replace the paper's encoders in a check by those of the cells."""
    row, base = (row and (row[0], encoders.get(row[1], row[1]), row[2]) for row in (check.row, check.base))
    assert row is not None
    return replace(check, row=row, base=base)


@dataclass
class _Reader:
    """Prediction tables by cell; each is read once."""

    cells: Mapping[RowKey, CellRecord]
    common: bool

    def __post_init__(self) -> None:
        self._tables: dict[RowKey, pd.DataFrame] = {}

    def part(self, row: RowKey, check: Check) -> pd.DataFrame:
        """Select the cases of the column of a check, or of its label."""
        if row not in self._tables:
            self._tables[row] = self.cells[row].predictions(NEEDED)
        table = self._tables[row]
        wanted = (table["cohort"] == check.column[0]) & (table["group"] == check.column[1])
        return table.loc[wanted & (table["label"] == check.label)] if check.label else table.loc[wanted]


def _examined(claim: Claim, check: Check, reader: _Reader, agreement: Margins) -> ClaimFinding:
    absent = [row for row in (check.row, check.base) if row is not None and row not in reader.cells]
    if absent:
        return ClaimFinding(claim, check, because=f"no cell {' '.join(part for part in absent[0] if part)}")
    part = reader.part(check.row, check)
    if part.empty:
        return ClaimFinding(claim, check, because="not evaluated there")
    shown = [reader.cells[row] for row in (check.row, check.base) if row is not None]
    cases, labels = len(part["volume_id"].unique()), _labels(reader, check)
    compared = compare(JudgedColumn(*check.column, check.label, cases, *labels), shown, agreement)
    other = next(iter(not_the_papers(shown).values()), "")
    blank = ClaimFinding(claim, check, incomparable=other or compared.incomparable, said=compared.said, apart=other)
    return _compared(blank, part, reader) if check.base is not None else _valued(blank, part, reader)


def _labels(reader: _Reader, check: Check) -> tuple[int, int]:
    """Number of scored labels of the column, and of all its labels."""
    scores = (s for s in reader.cells[check.row].groups if (s.cohort, s.group, s.metric) == (*check.column, "auroc"))
    return next(((s.n_labels, s.n_labels_total) for s in scores), (0, 0))


def _compared(blank: ClaimFinding, part: pd.DataFrame, reader: _Reader) -> ClaimFinding:
    check = blank.check
    assert check.base is not None
    first, second = (" ".join(part for part in row if part) for row in (check.base, check.row))
    cases = align({first: reader.part(check.base, check), second: part}, common=reader.common)
    made = group_difference(cases, check.column)
    if made is None:
        return replace(blank, because="no label has both classes")
    test: PairedTest = made.test
    return replace(blank, ours=test.difference, lo=test.lo, hi=test.hi, p=test.p)


def _valued(blank: ClaimFinding, part: pd.DataFrame, reader: _Reader) -> ClaimFinding:
    check = blank.check
    if check.label:
        area = delong(part["target"], part["score"])
        return replace(blank, ours=area.value, lo=area.lo, hi=area.hi)
    scores = reader.cells[check.row].groups
    stored = next(s for s in scores if (s.cohort, s.group, s.metric) == (*check.column, "auroc"))
    return replace(blank, ours=stored.value, lo=stored.lo, hi=stored.hi)


def _read(finding: ClaimFinding, agreement: Margins) -> ClaimFinding:
    if not math.isfinite(finding.ours):
        return finding
    margin = agreement.margin("auroc", *finding.check.column)
    because = "; ".join((_because(finding, margin), *finding.said))
    return replace(finding, reading=_reading(finding, margin), because=because)


def _reading(finding: ClaimFinding, margin: float | None) -> str:
    lo, hi, printed = finding.lo, finding.hi, finding.check.printed or 0.0
    match finding.check.kind:
        case "gain":
            if finding.adjusted > LEVEL:
                return "inconclusive"
            return "holds" if finding.ours > 0 else "contradicted"
        case "above":
            return _side(lo > printed, hi < printed)
        case "below":
            return _side(hi < printed, lo > printed)
        case "significant" | "not significant":
            return "holds" if (finding.p <= LEVEL) == (finding.check.kind == "significant") else "contradicted"
    if margin is None:
        return "inconclusive"
    centre = printed if finding.check.kind == "near" else 0.0
    return _side(centre - margin <= lo and hi <= centre + margin, hi < centre - margin or lo > centre + margin)


def _side(holds: bool, contradicted: bool) -> str:
    return "holds" if holds else "contradicted" if contradicted else "inconclusive"


def _because(finding: ClaimFinding, margin: float | None) -> str:
    tests = {
        "gain": "paired by patient, Holm within the claim",
        "significant": "paired DeLong",
        "not significant": "paired DeLong",
        "above": "interval against the printed value",
        "below": "interval against the printed value",
    }
    plain = tests.get(finding.check.kind)
    if plain:
        return plain
    return "no margin in the grid file" if margin is None else f"interval within ±{margin:.4f}"


def claims_sheet(findings: Sequence[ClaimFinding]) -> Sheet:
    """Make the table of findings; below it, one line for each claim."""
    rows = [
        [
            str(one.claim.number),
            " ".join(x for x in row_names(one.check.row) if x != "-"),
            one.check.kind if one.check.base is None else f"{one.check.kind}, against {one.check.base[2]}",
            " ".join(part for part in (*one.check.column, one.check.label) if part),
            *(_shown(x) for x in (None if one.apart else one.check.printed, one.ours)),
            f"[{_shown(one.lo)}, {_shown(one.hi)}]" if math.isfinite(one.lo) else "-",
            *(_shown(x) for x in (one.p, one.adjusted)),
            one.verdict,
            _why(one),
        ]
        for one in findings
    ]
    headings = ["Claim", "Cell", "Check", "Where", "Paper", "Ours", "95 %", "p", "p adjusted", "Verdict", "Because"]
    below = [*_stand_ins(findings), *_summaries(findings)]
    return Sheet("The paper's claims on these cells", headings, rows, below, words=4)


def _why(finding: ClaimFinding) -> str:
    """Explain a verdict. If the printed number cannot be compared with ours, the outcome is not printed either."""
    if finding.verdict != "not comparable":
        return finding.because
    if finding.apart and finding.check.base is None:
        return finding.incomparable
    return f"would read: {finding.reading} ({finding.incomparable})"


def _stand_ins(findings: Sequence[ClaimFinding]) -> list[str]:
    """Say which encoders replace the paper's, if no cell has one of them."""
    rows = [one.check.row for one in findings]
    others = sorted({row[1] for row in rows if row[0] == UNIFERUM and row[1] not in PAPER_TEXT}, key=natural)
    said = [
        f"{encoder} in place of {paper}" for encoder, paper in zip(others, ("PubMedBERT", "GatorTron"), strict=False)
    ]
    return [f"No cell has a text encoder of the paper: {', '.join(said)}."] if said else []


def _summaries(findings: Sequence[ClaimFinding]) -> list[str]:
    lines = []
    for claim in dict.fromkeys(one.claim for one in findings):
        mine = [one for one in findings if one.claim == claim]
        words = [one.verdict for one in mine]
        counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        lines.append(f"Claim {claim.number}: {claim.text}. Of {len(mine)} checks: {counts}.")
    return lines


def _shown(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"
