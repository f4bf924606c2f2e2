"""The first section of the page: what the grid is, its best cells, its verdicts, and what added data changed.

Tests are paired and by patient (:func:`uniferum.evaluation.comparison.group_difference`), on the same test cases.
"""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from uniferum.errors import UniferumError
from uniferum.evaluation.comparison import align, group_difference
from uniferum.evaluation.delong import PairedTest
from uniferum.report.checks.compare import NEEDED
from uniferum.report.checks.verdict import WORDS, Verdict
from uniferum.report.records import CellRecord, PendingCell, Score, mix_name
from uniferum.report.tables.naming import of_phantoms
from uniferum.report.tables.paper import COLUMNS
from uniferum.report.tables.rendering import row_names
from uniferum.report.tables.roles import SAID, Roles

PAIRS = 60
"""Number of pairs of cells that are tested; more are counted."""
PHANTOMS = (
    '<p class="banner">The data are phantoms: made-up scans. No number on this page says anything about patients or '
    "can be compared with a published one.</p>"
)


@dataclass(frozen=True)
class ForestLine:
    """One line of a forest plot."""

    names: tuple[str, ...]
    difference: float
    lo: float
    hi: float
    note: str = ""


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
    """The best cell of each column and role with its interval, and whether it is better than the next."""
    rows: list[list[str]] = []
    shown: dict[str, None] = {}
    finder = Roles(records)
    for column, ranked in _ranked(records).items():
        for role, alike in _by_role(ranked, column, finder).items():
            (first, score), *others = alike
            shown[role] = None
            line = [" ".join(column), role or "-", _link(first, records), _value(score)]
            if others:
                second, other = others[0]
                line += [_link(second, records), f"{other.value:.4f}", _tested(_difference([second], [first], column))]
            rows.append([*line, *["-"] * (7 - len(line))])
    headings = ("Column", "Role", "Best cell", "AUROC [95 %]", "Next", "AUROC", "Best minus next [95 %]")
    below = "; ".join(SAID[role] for role in SAID if role in shown)
    below += (
        ". Cells of one role are compared, by a paired test by patient on the same cases, not adjusted. The best of "
        "many cells is partly the best by chance."
    )
    return _table("Best cell of each column", headings, rows, below)


def _by_role(
    ranked: Sequence[tuple[CellRecord, Score]], column: tuple[str, str], finder: Roles
) -> dict[str, list[tuple[CellRecord, Score]]]:
    """The cells of a column by their role there: a cell that trained on the cohort does not compete with others."""
    by_role: dict[str, list[tuple[CellRecord, Score]]] = {}
    for record, score in ranked:
        by_role.setdefault(finder.role(record, *column), []).append((record, score))
    return by_role


def _ranked(records: Sequence[CellRecord]) -> dict[tuple[str, str], list[tuple[CellRecord, Score]]]:
    by_column: dict[tuple[str, str], list[tuple[CellRecord, Score]]] = {}
    for record in records:
        for score in record.groups:
            if score.metric == "auroc" and math.isfinite(score.value):
                by_column.setdefault((score.cohort, score.group), []).append((record, score))
    ordered = sorted(by_column, key=_rank)
    made = {}
    for column in ordered:
        most = max(score.n_labels for _, score in by_column[column])
        whole = [pair for pair in by_column[column] if pair[1].n_labels == most]
        made[column] = sorted(whole, key=lambda pair: -pair[1].value)
    return made


def _rank(column: tuple[str, str]) -> tuple[object, ...]:
    return (COLUMNS.index(column) if column in COLUMNS else len(COLUMNS), *column)


def _difference(
    first: Sequence[CellRecord], second: Sequence[CellRecord], column: tuple[str, str]
) -> PairedTest | str | None:
    """Test the mean of the second cells against that of the first; text is the reason why there is no test."""
    tables = {}
    try:
        for at, cell in enumerate((*first, *second)):
            table = cell.predictions(NEEDED)
            chosen = (table["cohort"] == column[0]) & (table["group"] == column[1])
            tables[f"{at} {cell.name}"] = table.loc[chosen]
        sides = range(len(first)), range(len(first), len(first) + len(second))
        made = group_difference(align(tables), column, sides)
    except UniferumError as error:
        return f"not compared: {error}"
    return None if made is None else made.test


def _tested(test: PairedTest | str | None) -> str:
    if test is None:
        return "-"
    if isinstance(test, str):
        return html.escape(test)
    word = "better" if test.lo > 0 else "not shown to be better"
    return f"{test.difference:+.4f} [{test.lo:+.4f}, {test.hi:+.4f}]: {word}"


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
    return _table("Verdicts on group means (AUROC)", ("Column", *words), [*rows, ["All", *total]])


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


def added_data(records: Sequence[CellRecord]) -> str:
    """What masks (+SEG) and each added cohort changed, as a forest plot."""
    pairs = list(_pairs(records))
    lines = []
    for added, first, second in pairs[:PAIRS]:
        for column in _ranked([first[0], second[0]]):
            test = _difference(first, second, column)
            if isinstance(test, PairedTest):
                names = (f"+{added}", f"{first[0].mix}, {first[0].text_encoder or first[0].model}", " ".join(column))
                said = "raises" if test.lo > 0 else "lowers" if test.hi < 0 else "no difference shown"
                lines.append(ForestLine(names, test.difference, test.lo, test.hi, said))
    if not lines:
        return "<h3>Effect of added data</h3><p>No two cells differ in one added cohort or in SEG alone.</p>"
    lines.sort(key=lambda line: (line.names[0], line.names[2], line.difference))
    below = "Mean AUROC of the column, same system and seeds; paired test by patient, not adjusted."
    more = f" {len(pairs) - PAIRS} more pairs are not shown." if len(pairs) > PAIRS else ""
    return forest("Effect of added data", ("Added", "To", "Column"), lines, "Reads", below + more)


def _pairs(records: Sequence[CellRecord]) -> Iterator[tuple[str, list[CellRecord], list[CellRecord]]]:
    """Cells that differ in one added word of the training data, over the seeds that both have."""
    by_key: dict[tuple[object, ...], dict[str, dict[object, CellRecord]]] = {}
    for record in (one for one in records if not one.members):
        key = record.model, record.text_encoder, tuple(sorted(record.axes.items()))
        axes = tuple(part for part in key[2] if part[0] not in ("train_on", "seed", "model", "text_encoder"))
        by_key.setdefault((*key[:2], axes), {}).setdefault(record.mix, {})[record.repeat] = record
    for mixes in by_key.values():
        for mix, cells in mixes.items():
            for added in mix.split("+"):
                base = mixes.get(mix_name(name for name in mix.split("+") if name != added), {})
                shared = sorted(base.keys() & cells.keys(), key=str)
                if shared:
                    yield added, [base[one] for one in shared], [cells[one] for one in shared]


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
    return _table(title, (*headings, "Difference", "95 %", drawn, last), rows, below)


def _bar(one: ForestLine, scale: float) -> str:
    lo, hi = (one.lo, one.hi) if math.isfinite(one.lo) else (one.difference, one.difference)
    side = "up" if lo > 0 else "down" if hi < 0 else "even"
    return (
        f'<svg class="bar {side}" viewBox="-100 -6 200 12" aria-hidden="true"><path d="M0-6V6"/>'
        f'<path class="line" d="M{lo * scale:.1f} 0H{hi * scale:.1f}"/>'
        f'<circle cx="{one.difference * scale:.1f}" r="3.5"/></svg>'
    )


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], below: str = "") -> str:
    """Format a table whose entries are HTML already."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in headings)
    body = "".join("<tr>" + "".join(f"<td>{text}</td>" for text in row) + "</tr>" for row in rows)
    said = f'<p class="small">{html.escape(below)}</p>' if below else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h3>{html.escape(title)}</h3><div class="scroll">{table}</div>{said}'


def _link(record: CellRecord, records: Sequence[CellRecord]) -> str:
    return f'<a href="#cell:{list(records).index(record)}">{html.escape(record.name)}</a>'


def _value(score: Score) -> str:
    interval = f" [{score.lo:.4f}, {score.hi:.4f}]" if math.isfinite(score.lo) else ""
    return f"{score.value:.4f}{interval}"
