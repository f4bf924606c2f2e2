"""What every table of the report is made of: places that hold a number with what it rests on, or why there is none.

Invariant: every place of a table is filled. What all its numbers share stands in its protocol lines; what differs is
marked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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

    def heading(self, column: Key) -> str:
        """``INSPECT shared``, with the count of labels where some could not be scored."""
        text = self.column_names.get(column) or " ".join(part for part in column if part)
        counts = {(e.n_labels, e.n_labels_total) for (_, c), e in self.entries.items() if c == column and e.known}
        partial = [f"{n}/{total}" for n, total in sorted(counts) if n < total]
        return f"{text} ({', '.join(partial)} labels)" if partial else text


def marked_best(
    entries: dict[tuple[Key, Key], Entry], lines: Sequence[Key], *, axis: int = 1, smallest: bool = False
) -> dict[tuple[Key, Key], Entry]:
    """The entries with the best of each line marked; several where they are equal to four digits.

    Args:
        entries: all places of a table.
        lines: its columns (``axis`` 1) or its rows (``axis`` 0).
        axis: along which part of a place's key the best is looked for.
        smallest: less is better.
    """
    made = dict(entries)
    for line in lines:
        known = {key: round(entry.value, 4) for key, entry in entries.items() if key[axis] == line and entry.known}
        top = (min if smallest else max)(known.values(), default=math.nan)
        for key, value in known.items():
            if value == top and len(known) > 1:
                made[key] = replace(entries[key], best=True)
    return made
