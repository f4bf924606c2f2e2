"""The table of verdicts, and the lines below it: counts, errors, and how many false words chance alone would give."""

from collections.abc import Sequence

from scipy.stats import norm

from uniferum.report.checks.comparability import UNKNOWN
from uniferum.report.checks.uncertainty import Uncertainty
from uniferum.report.checks.verdict import JUDGED, WORDS, Verdict
from uniferum.report.published import GROUPS
from uniferum.report.tables.rendering import row_names
from uniferum.report.tables.rounded import bounds, rounded, signed
from uniferum.report.tables.sheet import Sheet

UNKNOWN_CURE = (
    "A record without its split was written by an older version. Run uniferum data prepare again, which writes the "
    "split into the store; then report with --grid, which reads it there if the test scans are the same."
)


def verdict_sheet(verdicts: Sequence[Verdict], metric: str) -> Sheet:
    """Make the table of verdicts; below it, the count of each verdict."""
    rows = [
        [
            *row_names(one.row),
            " ".join(one.column),
            *map(rounded, (one.published, one.value)),
            signed(one.difference),
            bounds(one.lo, one.hi),
            _margin(one),
            one.word,
            one.because,
        ]
        for one in verdicts
    ]
    counts = {word: sum(one.word == word for one in verdicts) for word in WORDS}
    headings = ["Model", "Text encoder", "Training data", "Column", "Paper", "Ours", "Difference", "95 %", "Margin"]
    said = [
        f"Of {len(verdicts)} published numbers: " + ", ".join(f"{n} {word}" for word, n in counts.items() if n) + "."
    ]
    if not verdicts:
        said = ["not comparable: the paper has no number of these systems."]
    said += [*_by_chance(verdicts), *_errors_said(verdicts)]
    said += [UNKNOWN_CURE] if any(UNKNOWN in one.because for one in verdicts) else []
    return Sheet(f"Verdict on {metric.upper()}", [*headings, "Verdict", "Because"], rows, said, words=4)


def _margin(one: Verdict) -> str:
    """The margin, with the declared one if that is narrower."""
    if one.margin is None:
        return "-"
    wider = one.declared is not None and one.margin > one.declared
    return f"±{one.margin:.4f}" + (f" (declared ±{one.declared:g})" if wider else "")


def _by_chance(verdicts: Sequence[Verdict]) -> list[str]:
    """Say how many false words chance alone would give over the whole table."""
    tested = [(one.margin, one.error) for one in verdicts if one.word in JUDGED and one.margin and one.error]
    if not tested:
        return []
    alike = [chances(0.0, error, margin) for margin, error in tested]
    apart = [chances(margin, error, margin) for margin, error in tested]
    n = len(tested)
    equal = (sum(one[1] for one in alike), sum(1 - sum(one) for one in alike))
    edge = [sum(one[at] for one in apart) for at in (0, 1)]
    return [
        f"Of chance alone, over {n} tests: {equal[0]:.1f} differ and {equal[1]:.1f} are inconclusive if every true "
        f"value is the paper's; {edge[0]:.1f} are reproduced and {edge[1]:.1f} differ if every one lies on the edge of "
        "its margin. No test is adjusted for the others."
    ]


def chances(difference: float, error: Uncertainty, margin: float) -> tuple[float, float]:
    """Probabilities of ``reproduced`` and of ``differs`` for a true difference."""
    inside, outside = margin - error.half(0.90), margin + error.half(0.95)
    if not error.standard:
        return float(abs(difference) <= margin), float(abs(difference) > margin)
    at = [norm.cdf((edge - difference) / error.standard) for edge in (-outside, -inside, inside, outside)]
    return max(0.0, float(at[2] - at[1])), float(at[0] + 1 - at[3])


def _errors_said(verdicts: Sequence[Verdict]) -> list[str]:
    """Say which errors the intervals contain."""
    tested = [one for one in verdicts if one.word in JUDGED and one.error]
    if not tested:
        return []
    spreads = dict.fromkeys(one.error.spread.said for one in tested if one.error)
    lines = [f"Intervals: error over the test cases and over seeds. Spread over seeds: {'; '.join(spreads)}."]
    if any(one.column[1] in GROUPS for one in tested):
        lines.append("The own errors of the paper's means are unknown (one seed, no interval) and not counted.")
    return lines
