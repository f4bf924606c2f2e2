"""Paired tests between two text encoders, as the paper compares PubMedBERT with GatorTron: a pair a training mix.

The cells of a pair are compared on the same cases: group means and labels by patient. The means of
all pairs are one family of tests, the labels another. Claim 7 ("the same pattern", paper 4) is checked for both
encoders.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from uniferum.errors import UniferumError, near_miss
from uniferum.evaluation.comparison import align, pairwise
from uniferum.report.checks.claims import CLAIMS, Check, Claim
from uniferum.report.checks.compare import HEADINGS, NEEDED, adjusted, group_rows, tests_said
from uniferum.report.checks.examine import ClaimFinding, examine
from uniferum.report.checks.margins import Margins
from uniferum.report.published import find
from uniferum.report.records import MIXES, CellRecord, row_order
from uniferum.report.systems import shown_encoder
from uniferum.report.tables.naming import not_the_papers, titled
from uniferum.report.tables.rounded import bounds, shown_p, signed
from uniferum.report.tables.sheet import Sheet
from uniferum.systems import UNIFERUM

PATTERN = 7
"""Number of the claim that both encoders show the same pattern."""


@dataclass(frozen=True)
class Pair:
    """Two cells with the same training mix, seed and fold and different text encoders."""

    mix: str
    first: CellRecord
    second: CellRecord


def encoder_sheets(
    records: Sequence[CellRecord], agreement: Margins, names: Sequence[str] = (), *, common: bool = False
) -> list[Sheet]:
    """Make the tables that compare two text encoders: group means, labels and claim 7.

    Args:
        records: finished cells.
        agreement: margins and comparability of the grid file.
        names: the two encoders; by default the only two that the cells have.
        common: compare on the cases that both cells of a pair have.

    Raises:
        UniferumError: there are not two encoders or no common mix, or cells were scored on different cases.
    """
    encoders = chosen(records, names)
    pairs, lonely = paired(records, encoders)
    means, labels = [], []
    for pair in pairs:
        tables = {"first": pair.first.predictions(NEEDED), "second": pair.second.predictions(NEEDED)}
        cases = align(tables, common=common)
        means += [{**row, "first": pair.mix} for row in group_rows(cases, "first", "second")]
        labels += [{**row, "first": pair.mix} for row in pairwise(cases, ["first", "second"]).to_dict("records")]
    title = f"{shown_encoder(encoders[0])} (first) against {shown_encoder(encoders[1])} (second)"
    headings = ["Training data", *HEADINGS[2:]]
    below = [*tests_said(len(means), len(labels), common), *lonely]
    cells = [cell for pair in pairs for cell in (pair.first, pair.second)]
    of_paper = _papers_differences(pairs)
    mean_rows = [[row[0], *row[2:], of_paper.get((row[0], row[2], row[3]), "-")] for row in adjusted(means)]
    label_rows = [[row[0], *row[2:]] for row in adjusted(labels)]
    sheets = [
        Sheet(f"{title}: group means", [*headings, "Difference in the paper"], mean_rows, below, words=4),
        Sheet(f"{title}: labels", headings, label_rows, below, words=4),
        _pattern_sheet(records, agreement, encoders, common),
    ]
    return [titled(one, cells) for one in sheets]


def chosen(records: Sequence[CellRecord], names: Sequence[str]) -> tuple[str, str]:
    """Choose the two text encoders: those named, or the only two of the cells.

    Raises:
        UniferumError: no cell has a named encoder, or there are not two encoders.
    """
    rows = sorted((one.row for one in records if one.model == UNIFERUM), key=row_order)
    known = list(dict.fromkeys(row[1] for row in rows))
    called = {shown_encoder(word): word for word in known} | {word: word for word in known}
    for name in names:
        if name not in called:
            raise UniferumError(
                "--encoder", name, must="be a text encoder of a finished cell", cure=_listed(name, known)
            )
    wanted = list(dict.fromkeys(called[name] for name in names)) or known
    if len(wanted) == 2:
        return wanted[0], wanted[1]
    shown = ", ".join(map(shown_encoder, wanted)) or "none"
    more = "give --encoder twice, with one name each" if len(known) > 1 else "finish cells of two text encoders first"
    raise UniferumError("--compare-encoders", shown, must="have two text encoders of finished cells", cure=more)


def _listed(name: str, known: Sequence[str]) -> str:
    return near_miss(name, map(shown_encoder, known))


def paired(records: Sequence[CellRecord], encoders: tuple[str, str]) -> tuple[list[Pair], list[str]]:
    """Pair the cells of both encoders by training mix, at the lowest common seed and fold.

    Returns:
        The pairs in the paper's order, and a line that lists the mixes without a pair.

    Raises:
        UniferumError: no mix has a pair.
    """
    cells = {(one.text_encoder, one.mix, one.repeat): one for one in records if one.model == UNIFERUM}
    mixes = sorted({mix for _, mix, _ in cells}, key=lambda mix: (*_rank(mix), mix))
    pairs: list[Pair] = []
    lonely: list[str] = []
    for mix in mixes:
        repeats = [{one for word, of, one in cells if (word, of) == (encoder, mix)} for encoder in encoders]
        both = sorted(repeats[0] & repeats[1])
        if both:
            pairs.append(Pair(mix, *(cells[encoder, mix, both[0]] for encoder in encoders)))
        elif repeats[0] or repeats[1]:
            lonely.append(mix)
    if not pairs:
        shown = " and ".join(map(shown_encoder, encoders))
        raise UniferumError("--compare-encoders", shown, must="share a training mix and seed among the finished cells")
    return pairs, [f"Without a pair: {', '.join(lonely)}."] if lonely else []


def _rank(mix: str) -> tuple[int]:
    return (MIXES.index(mix) if mix in MIXES else len(MIXES),)


def _papers_differences(pairs: Sequence[Pair]) -> dict[tuple[str, str, str], str]:
    """The difference in the paper's tables by mix, cohort and group, if both cells are the paper's systems."""
    differences = {}
    for pair in pairs:
        if not_the_papers([pair.first, pair.second]):
            continue
        for score in pair.second.groups:
            values = [find("auroc", one.row, score.cohort, score.group) for one in (pair.first, pair.second)]
            if values[0] and values[1]:
                differences[pair.mix, score.cohort, score.group] = f"{values[1].value - values[0].value:+.4f}"
    return differences


def _pattern_sheet(records: Sequence[CellRecord], agreement: Margins, encoders: tuple[str, str], common: bool) -> Sheet:
    """Make the table of claim 7: each check for both encoders, and whether the outcomes agree."""
    claim = next(one for one in CLAIMS if one.number == PATTERN)
    sides = [examine(records, agreement, common=common, claims=[_of_encoder(claim, encoder)]) for encoder in encoders]
    rows = [
        [
            f"{second.check.kind}, {second.check.row[2]} against {second.check.base[2] if second.check.base else '-'}",
            " ".join(second.check.column),
            *_side(first),
            *_side(second),
            _alike(first, second),
        ]
        for first, second in zip(*sides, strict=True)
    ]
    headings = ["Check", "Where"]
    for name in ("first", "second"):
        headings += [f"Paper, {name}", f"Ours, {name}", "95 %", "p adjusted", f"Reads, {name}"]
    words = [row[-1] for row in rows]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
    said = [f"Claim {claim.number}: {claim.text}. Alike, of {len(rows)} checks: {counts}."]
    said += _contradicted(sides[1]) + _incomparable([*sides[0], *sides[1]])
    title = f"Claim {PATTERN}: {shown_encoder(encoders[0])} (first) and {shown_encoder(encoders[1])} (second)"
    return Sheet(title, [*headings, "Alike"], rows, said, words=2)


def _of_encoder(claim: Claim, encoder: str) -> Claim:
    """The comparisons of a claim, with another encoder."""
    return replace(claim, checks=tuple(_check(check, encoder) for check in claim.checks if check.base is not None))


def _check(check: Check, encoder: str) -> Check:
    """Change the encoder of a check, and look up the difference in the paper's tables."""
    assert check.base is not None, "a comparison has a base"
    row, base = (check.row[0], encoder, check.row[2]), (check.base[0], encoder, check.base[2])
    values = [find("auroc", one, *check.column) for one in (row, base)]
    printed = round(values[0].value - values[1].value, 4) if values[0] and values[1] else None
    return replace(check, row=row, base=base, printed=printed)


def _side(finding: ClaimFinding) -> list[str]:
    printed = None if finding.apart else finding.check.printed
    return [
        "-" if printed is None else f"{printed:+.4f}",
        signed(finding.ours),
        bounds(finding.lo, finding.hi, "+.4f"),
        shown_p(finding.adjusted),
        finding.reading,
    ]


def _alike(first: ClaimFinding, second: ClaimFinding) -> str:
    """Whether both hold or both are contradicted; ``undecided`` if one of them is inconclusive."""
    readings = {first.reading, second.reading}
    if "missing" in readings:
        return "-"
    if "inconclusive" in readings:
        return "undecided"
    return "yes" if len(readings) == 1 else "no"


def _contradicted(findings: Sequence[ClaimFinding]) -> list[str]:
    """List the gains that the paper's own table of the second encoder contradicts."""
    named = [
        f"{one.check.row[2]} on {' '.join(one.check.column)} ({one.check.printed:+.4f})"
        for one in findings
        if one.check.kind == "gain" and not one.apart and (one.check.printed or 0.0) < 0
    ]
    return (
        [f"The paper's own table contradicts {len(named)} of the second's gains: {', '.join(named)}."] if named else []
    )


def _incomparable(findings: Sequence[ClaimFinding]) -> list[str]:
    reasons = dict.fromkeys(one.incomparable for one in findings if one.incomparable)
    return [f"Not comparable with the paper: {'; '.join(reasons)}."] if reasons else []
