"""The table of the paper's claims on the user's cells, and the lines below it."""

import math
from collections.abc import Sequence

from uniferum.report.checks.claims import Check
from uniferum.report.checks.examine import ClaimFinding
from uniferum.report.systems import PAPER_TEXT
from uniferum.report.tables.rendering import row_names
from uniferum.report.tables.rounded import bounds, rounded, shown_p
from uniferum.report.tables.sheet import Sheet
from uniferum.systems import UNIFERUM
from uniferum.value_labels import natural


def claims_sheet(findings: Sequence[ClaimFinding]) -> Sheet:
    """Make the table of findings; below it, one line for each claim."""
    rows = [
        [
            str(one.claim.number),
            " ".join(x for x in row_names(one.check.row) if x != "-"),
            one.check.kind,
            _base(one.check),
            " ".join(part for part in (*one.check.column, one.check.label) if part),
            *(rounded(math.nan if x is None else x) for x in (None if one.apart else one.check.printed, one.ours)),
            bounds(one.lo, one.hi),
            _seeds(one),
            *(shown_p(x) for x in (one.p, one.adjusted)),
            one.verdict,
            _why(one),
        ]
        for one in findings
    ]
    headings = ["Claim", "Cell", "Check", "Base", "Where", "Paper", "Ours", "95 %", "Seeds", "p", "p adjusted"]
    headings += ["Verdict", "Because"]
    below = [*_stand_ins(findings), *ADJUSTED, *_summaries(findings)]
    return Sheet("The paper's claims on these cells", headings, rows, below, words=5)


ADJUSTED = (
    "p: two-sided, of no difference from the base; p adjusted: Holm over the gains of one claim. Other p values and "
    "all equivalence tests are not adjusted, and no test is adjusted over the claims.",
)


def _base(check: Check) -> str:
    """The cell or the number that a check compares with."""
    if check.base is not None:
        return " ".join(name for name in row_names(check.base) if name != "-")
    return f"{check.other}, as printed" if check.other else "the paper's value"


def _seeds(finding: ClaimFinding) -> str:
    """Number of seeds, with the least and the largest number of one seed."""
    if len(finding.by_seed) < 2:
        return str(len(finding.seeds) or "-")
    return f"{len(finding.seeds)} ({min(finding.by_seed):.4f} to {max(finding.by_seed):.4f})"


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
