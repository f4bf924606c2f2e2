"""The first section of the page: what the grid is, its best cells, its verdicts, and what added data changed."""

import html
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from uniferum.evaluation.delong import PairedTest
from uniferum.report.checks.verdict import WORDS, Verdict
from uniferum.report.records import CellRecord, PendingCell
from uniferum.report.site.added_data import added_data
from uniferum.report.site.forest import ForestLine, forest, html_table
from uniferum.report.site.ranking import Ranked, difference, ranked, systems
from uniferum.report.tables.naming import of_phantoms
from uniferum.report.tables.rendering import row_names
from uniferum.report.tables.roles import SAID, Roles

PHANTOMS = (
    '<p class="banner">The data are phantoms: made-up scans. No number on this page says anything about patients or '
    "can be compared with a published one.</p>"
)


def overview(
    records: Sequence[CellRecord], pending: Sequence[PendingCell], verdicts: Sequence[Verdict], grid: str = ""
) -> str:
    """Make the section."""
    parts = [PHANTOMS if of_phantoms([*records, *pending]) else "", facts(records, pending, grid)]
    if records:
        parts += [best_cells(records), verdict_counts(verdicts), published(verdicts), added_data(records)]
    return "\n".join(parts)


def facts(records: Sequence[CellRecord], pending: Sequence[PendingCell], grid: str) -> str:
    """Name, date, commits, data and number of finished cells."""
    done, waiting = (sum(not one.members for one in cells) for cells in (records, pending))
    commits = dict.fromkeys(str(r.result.get("git_commit"))[:12] for r in records if r.result.get("git_commit"))
    counted: dict[str, int] = {}
    for score in (one for record in records for one in record.groups):
        counted[score.cohort] = max(counted.get(score.cohort, 0), score.n_cases)
    said = {
        "Grid": grid or "not named (read from folders)",
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Commit": ", ".join(commits) or "not recorded",
        "Test data": ", ".join(f"{name} (N = {n})" for name, n in counted.items() if n) or "none scored yet",
        "Cells": f"{done} of {done + waiting} cells are done",
    }
    lines = "".join(f"<div><dt>{name}</dt><dd>{html.escape(text)}</dd></div>" for name, text in said.items())
    return f'<dl class="facts">{lines}</dl>'


def best_cells(records: Sequence[CellRecord]) -> str:
    """The best cell of each column and role with its interval, and whether it is better than the next.

    Cells that differ in seed or fold alone are one, with the mean of their values.
    """
    rows: list[list[str]] = []
    shown: dict[str, None] = {}
    finder = Roles(records)
    for column, cells in ranked(records).items():
        for role, alike in _by_role(cells, column, finder).items():
            first, *others = alike
            shown[role] = None
            line = [" ".join(column), role or "-", _named(first, records), _value(first)]
            if others:
                test = difference(others[0].cells, first.cells, column)
                line += [_named(others[0], records), f"{others[0].value:.4f}", *_tested(test)]
            rows.append([*line, *["-"] * (8 - len(line))])
    several = any(len(cells) > 1 for cells in systems(records).values())
    value = "AUROC, mean of seeds [95 % of cases]" if several else "AUROC [95 %]"
    headings = ("Column", "Role", "Best cell", value, "Next", "AUROC", "Best minus next [95 %]", "Is it better?")
    below = "; ".join(SAID[role] for role in SAID if role in shown)
    below += (
        ". Cells of one role are compared, by a paired test by patient on the same cases, not adjusted. The best of "
        "many cells is partly the best by chance."
    )
    if several:
        below += (
            " The interval of a mean is that of cases alone, the mean of the seeds' intervals; table auroc has both."
        )
    return html_table("Best cell of each column", headings, rows, below, words=(2, 4))


def _by_role(ranked: Sequence[Ranked], column: tuple[str, str], finder: Roles) -> dict[str, list[Ranked]]:
    """The cells of a column by their role there: a cell that trained on the cohort does not compete with others."""
    by_role: dict[str, list[Ranked]] = {}
    for one in ranked:
        by_role.setdefault(finder.role(one.cells[0], *column), []).append(one)
    return by_role


def _tested(test: PairedTest | str | None) -> tuple[str, str]:
    """Format a difference with its interval, and what it says."""
    if test is None:
        return "-", "-"
    if isinstance(test, str):
        return "-", html.escape(test)
    word = "better" if test.lo > 0 else "not shown to be better"
    return f"{test.difference:+.4f} [{test.lo:+.4f}, {test.hi:+.4f}]", word


def verdict_counts(verdicts: Sequence[Verdict]) -> str:
    """The number of verdicts of each word by column."""
    if not verdicts:
        return "<h3>Verdicts</h3><p>None: the paper has no number of these systems.</p>"
    counts: dict[str, dict[str, int]] = {}
    for one in verdicts:
        of_column = counts.setdefault(" ".join(one.column), {})
        of_column[one.word] = of_column.get(one.word, 0) + 1
    words = [*WORDS, *sorted({one.word for one in verdicts} - set(WORDS))]
    rows = [[html.escape(name), *(str(of.get(word, 0)) for word in words)] for name, of in counts.items()]
    total = [str(sum(one.word == word for one in verdicts)) for word in words]
    return html_table("Verdicts on group means (AUROC)", ("Column", *words), [*rows, ["All", *total]])


def published(verdicts: Sequence[Verdict]) -> str:
    """The differences to the published values, ranked, as a forest plot; why there are none otherwise."""
    compared = [one for one in verdicts if math.isfinite(one.difference) and one.word != "not comparable"]
    refused = len(verdicts) - len(compared)
    lines = [
        ForestLine(
            (" / ".join(row_names(one.row)), " ".join(one.column)),
            one.difference,
            one.lo - one.published,
            one.hi - one.published,
            one.word,
        )
        for one in sorted(compared, key=lambda one: one.difference)
    ]
    below = f"{refused} published numbers are not compared (see Verdict)." if refused else ""
    if not lines:
        return f"<h3>Differences to the published values</h3><p>None can be compared. {below}</p>"
    return forest("Differences to the published values (AUROC)", ("System", "Column"), lines, "Verdict", below)


def _named(one: Ranked, records: Sequence[CellRecord]) -> str:
    """A link to the first cell, and the number of seeds."""
    first = one.cells[0]
    several = f" (mean of {len(one.cells)})" if len(one.cells) > 1 else ""
    at = next(at for at, record in enumerate(records) if record is first)
    return f'<a href="#cell:{at}">{html.escape(first.name)}</a>{several}'


def _value(one: Ranked) -> str:
    interval = f" [{one.lo:.4f}, {one.hi:.4f}]" if math.isfinite(one.lo) else ""
    return f"{one.value:.4f}{interval}"
