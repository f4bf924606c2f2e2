"""Tables and forest plots of the page as HTML: a forest plot is a table with a small drawing in each line."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ForestLine:
    """One line of a forest plot."""

    names: tuple[str, ...]
    difference: float
    lo: float
    hi: float
    note: str = ""


def forest(title: str, headings: Sequence[str], lines: Sequence[ForestLine], last: str, below: str = "") -> str:
    """Draw a forest plot: a table in which each line has its interval as a small drawing."""
    ends = [abs(end) for one in lines for end in (one.lo, one.hi, one.difference) if math.isfinite(end)]
    scale = 95 / max(*ends, 1e-6)
    rows = [
        [
            *(html.escape(name) for name in one.names),
            f"{one.difference:+.4f}",
            f"[{one.lo:+.4f}, {one.hi:+.4f}]" if math.isfinite(one.lo) else "-",
            _bar(one, scale),
            html.escape(one.note),
        ]
        for one in lines
    ]
    drawn = f"-{95 / scale:.2f} to +{95 / scale:.2f}"
    return html_table(title, (*headings, "Difference", "95 %", drawn, last), rows, below)


def _bar(one: ForestLine, scale: float) -> str:
    lo, hi = (one.lo, one.hi) if math.isfinite(one.lo) else (one.difference, one.difference)
    side = "up" if lo > 0 else "down" if hi < 0 else "even"
    return (
        f'<svg class="bar {side}" viewBox="-100 -6 200 12" aria-hidden="true"><path d="M0-6V6"/>'
        f'<path class="line" d="M{lo * scale:.1f} 0H{hi * scale:.1f}"/>'
        f'<circle cx="{one.difference * scale:.1f}" r="3.5"/></svg>'
    )


def html_table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], below: str = "", words: Sequence[int] = ()
) -> str:
    """Format a table whose entries are HTML already; columns of ``words`` may be wrapped anywhere."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in headings)
    kinds = [' class="words"' if at in words else "" for at in range(len(headings))]
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{text}</td>" for kind, text in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    said = f'<p class="small">{html.escape(below)}</p>' if below else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h3>{html.escape(title)}</h3><div class="scroll">{table}</div>{said}'
