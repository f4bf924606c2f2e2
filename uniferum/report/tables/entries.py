"""What every table of the report is made of: places that hold a number with what it rests on, or why there is none.

Invariant: every place of a table is filled. What all its numbers share stands in its protocol lines; what differs is
marked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from uniferum.report.systems import shown_encoder

Key = tuple[str, ...]
"""A row or a column: the values of its facts."""

HEADINGS = {
    "model": "Model",
    "text_encoder": "Text encoder",
    "train_on": "Training data",
    "seed": "Seed",
    "name": "Cell",
    "cohort": "Cohort",
    "group": "Group",
    "label": "Label",
}


@dataclass(frozen=True)
class Entry:
    """One place of a table: a number and what it rests on, or ``missing`` and why."""

    value: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    spread: float = math.nan
    """Standard deviation over seeds, NaN for one seed."""
    seeds: int = 0
    n_labels: int = 0
    n_labels_total: int = 0
    n_cases: int = 0
    n_patients: int = 0
    prevalence: float = math.nan
    published: float = math.nan
    published_half_width: float = math.nan
    """Half of the interval that the paper prints, where it prints one."""
    apart: str = ""
    """Why the number that the paper has for this row does not stand beside ours: another system, or phantoms."""
    missing: str = ""
    command: str = ""
    cells: tuple[str, ...] = ()
    best: bool = False

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class ReportTable:
    """What every format renders."""

    name: str
    title: str
    metric: str
    rows: tuple[Key, ...]
    columns: tuple[Key, ...]
    entries: dict[tuple[Key, Key], Entry]
    protocol: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    row_facts: tuple[str, ...] = ("model", "text_encoder", "train_on")
    column_facts: tuple[str, ...] = ("cohort", "group")
    column_names: dict[Key, str] = field(default_factory=dict)
    best_of: str = "column"
    phantoms: bool = False
    """Whether the numbers are of phantoms; programs read it, people see it in the title."""

    def heading(self, column: Key) -> str:
        """``INSPECT shared``, with the count of labels where all its numbers leave out equally many."""
        parts = zip(self.column_facts, column, strict=True)
        named = (shown_encoder(part) if fact == "text_encoder" else part for fact, part in parts)
        text = self.column_names.get(column) or " ".join(part for part in named if part)
        counts = self._label_counts(column)
        partial = [f"{n}/{total}" for n, total in counts if n < total]
        return f"{text} ({partial[0]} labels)" if partial and len(counts) == 1 else text

    def own_labels(self, row: Key, column: Key) -> str:
        """`` on 7/18 labels`` where a number leaves out labels that others of its column do not; else nothing."""
        entry = self.entries[row, column]
        if not entry.known or entry.n_labels >= entry.n_labels_total or len(self._label_counts(column)) == 1:
            return ""
        return f" on {entry.n_labels}/{entry.n_labels_total} labels"

    def _label_counts(self, column: Key) -> set[tuple[int, int]]:
        return {(e.n_labels, e.n_labels_total) for (_, at), e in self.entries.items() if at == column and e.known}


def marked_best(
    entries: dict[tuple[Key, Key], Entry], lines: Sequence[Key], *, axis: int = 1, smallest: bool = False
) -> dict[tuple[Key, Key], Entry]:
    """The entries with the best of each line marked; several where they are equal to four digits.

    A mean over fewer labels than others of its line is no better or worse than they are, and is left out.

    Args:
        entries: all places of a table.
        lines: its columns (``axis`` 1) or its rows (``axis`` 0).
        axis: along which part of a place's key the best is looked for.
        smallest: less is better.
    """
    made = dict(entries)
    for line in lines:
        here = {key: entry for key, entry in entries.items() if key[axis] == line and entry.known}
        most = max((entry.n_labels for entry in here.values()), default=0)
        whole = {key: entry for key, entry in here.items() if axis == 0 or entry.n_labels == most}
        known = {key: round(entry.value, 4) for key, entry in whole.items()}
        top = (min if smallest else max)(known.values(), default=math.nan)
        for key, value in known.items():
            if value == top and len(known) > 1:
                made[key] = replace(entries[key], best=True)
    return made
