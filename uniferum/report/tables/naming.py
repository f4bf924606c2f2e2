"""Names of cells in a report: distinct names for text encoders, and "(phantoms)" in titles.

Invariant: a title says "(phantoms)" if any cell of the report is of phantoms.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from uniferum.evaluation.units import POOLING
from uniferum.report.cited_systems import FOOTNOTES
from uniferum.report.published import published
from uniferum.report.records import CellRecord, PendingCell, RowKey
from uniferum.report.systems import PAPER_TEXT, shown_encoder
from uniferum.report.tables.entries import ReportTable
from uniferum.report.tables.sheet import Sheet
from uniferum.systems import SYSTEMS, UNIFERUM
from uniferum.value_labels import natural

MARK = " (phantoms)"
One = TypeVar("One", CellRecord, PendingCell)
Both = Sequence[CellRecord | PendingCell]


def distinguish_encoders(
    records: Sequence[CellRecord], pending: Sequence[PendingCell]
) -> tuple[list[CellRecord], list[PendingCell]]:
    """Distinguish cells of one row and seed by appending the config keys in which their text encoders differ."""
    texts: dict[tuple[RowKey, int], list[Mapping[str, object]]] = {}
    for one in (*records, *pending):
        if one.text:
            texts.setdefault((one.row, one.seed), []).append(one.text)
    keys: dict[tuple[str, str], dict[str, None]] = {}
    for (row, _), same_row in texts.items():
        keys.setdefault((row[0], row[1]), {}).update(dict.fromkeys(_differing(same_row)))
    return [_named(one, keys) for one in records], [_named(one, keys) for one in pending]


def _differing(texts: Sequence[Mapping[str, object]]) -> list[str]:
    keys = dict.fromkeys(key for text in texts for key in text)
    return [key for key in keys if any(text.get(key) != texts[0].get(key) for text in texts)]


def _named(one: One, keys: Mapping[tuple[str, str], Iterable[str]]) -> One:
    said = ", ".join(f"{key} {one.text.get(key)}" for key in keys.get((one.row[0], one.row[1]), ()) if one.text)
    return replace(one, text_encoder=f"{one.text_encoder} ({said})") if said else one


def of_phantoms(cells: Both) -> bool:
    """Whether any cell is of phantoms."""
    return any(one.phantoms for one in cells)


def title_of(title: str, cells: Both) -> str:
    """Mark a title if any cell is of phantoms."""
    return phantom_title(title) if of_phantoms(cells) else title


def phantom_title(title: str) -> str:
    """Append "(phantoms)" to a title, once."""
    return title if title.endswith(MARK) else f"{title}{MARK}"


def titled(drawn: Sheet, cells: Both) -> Sheet:
    """Mark the title of a sheet if any cell is of phantoms."""
    return replace(drawn, title=title_of(drawn.title, cells))


def with_unit(drawn: Sheet, cells: Sequence[CellRecord]) -> Sheet:
    """Say below a sheet what one case is, if it is not the volume."""
    units = dict.fromkeys(one.unit for one in cells if one.unit != "volume")
    said = [f"Unit: {unit} ({POOLING})." for unit in units]
    return replace(drawn, below=[*drawn.below, *said]) if said else drawn


def cell_label(one: CellRecord) -> str:
    """Name of a cell in a sentence: model, text encoder, training data, and seed and fold, a seed if it is not 0."""
    fold = "" if one.folds is None else f" fold {one.folds.index}"
    return row_label(one.row) + fold + (f" seed {one.seed}" if one.seed else "")


def cell_labels(cells: Sequence[CellRecord]) -> list[str]:
    """Names of cells in the legend of a figure; the cell's own name follows if two would be equal."""
    labels = [cell_label(one) for one in cells]
    return [
        f"{label} ({one.name})" if labels.count(label) > 1 else label for label, one in zip(labels, cells, strict=True)
    ]


def row_label(row: RowKey) -> str:
    """Name of a row in a figure or a sentence; the paper's two encoders have short names."""
    return " ".join(part for part in row if part)


def encoder_notes(cells: Iterable[CellRecord]) -> list[str]:
    """Explain the short names of the paper's encoders, if the cells have them."""
    words = dict.fromkeys(one.text_encoder for one in cells if one.text_encoder in PAPER_TEXT)
    return [f"{word}: {shown_encoder(word)}, first 4 layers." for word in words]


def parts(cells: Both) -> tuple[str, str]:
    """Choose the two text encoders to compare: PubMedBERT and GatorTron, or the first two if no cell has one of these.

    So the comparisons of the paper work on any grid. Other encoders are never compared with the paper's numbers.
    """
    own = tuple(PAPER_TEXT)
    usual = [one for one in cells if one.model == UNIFERUM and one.at_defaults]
    others = sorted({one.text_encoder for one in usual if one.text_encoder}, key=natural)
    if not others or set(others) & set(own):
        return own[0], own[1]
    return others[0], others[1] if len(others) > 1 else own[1]


def not_the_papers(cells: Both) -> dict[RowKey, str]:
    """Rows that cannot be compared with published values, each with the reason."""
    return {one.row: why_apart(one) for one in cells if why_apart(one)}


def why_apart(one: CellRecord | PendingCell) -> str:
    """Why a cell cannot be compared with published values; empty if it can."""
    if one.phantoms:
        return "phantoms"
    return f"another system than the paper's ({one.other_system})" if one.other_system else ""


def cited_notes(table: ReportTable) -> list[str]:
    """What the paper says beside the values that it cites from others, for the rows of a table."""
    wanted = {(*row, *column) for row in table.rows for column in table.columns}
    return [
        f"{shown_system(one.row[0])} {one.row[2]} on {one.cohort} {one.group}, {one.value:.4f}: "
        f"{one.source}; {one.note}."
        for one in published()
        if one.metric == table.metric and (*one.row, one.cohort, one.group) in wanted and "cited" in one.source
        if one.note
    ]


def shown_system(name: str) -> str:
    """The title of a system, or the word itself."""
    return SYSTEMS[name].title if name in SYSTEMS else name


def unpublished_notes(cells: Both, *, phantoms: bool) -> list[str]:
    """Explain why rows have no published value: one line for phantoms, otherwise one for each reason."""
    if phantoms:
        return ["No published value stands beside these numbers: they are of phantoms."]
    reasons: dict[str, dict[str, None]] = {}
    for row, reason in not_the_papers(cells).items():
        reasons.setdefault(reason, {})[" ".join(part for part in row[:2] if part)] = None
    lines = [f"No published value stands beside {', '.join(rows)}: {reason}." for reason, rows in reasons.items()]
    models = {cell.row[0] for cell in cells} - {row[0] for row in not_the_papers(cells)}
    return [*lines, *(FOOTNOTES[model] for model in FOOTNOTES if model in models)]
