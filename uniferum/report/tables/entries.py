"""Entries of the tables: a number with its counts and interval, or the reason why there is none.

Invariant: every row and column has an entry. The protocol lines of a table say what all its numbers share; differences
are marked.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from uniferum.report.systems import shown_encoder

Key = tuple[str, ...]
"""A row or a column: the values of its facts."""

HEADINGS = {
    "model": "Model",
    "text_encoder": "Text encoder",
    "train_on": "Training data",
    "setting": "Setting",
    "seed": "Seed",
    "name": "Cell",
    "cohort": "Cohort",
    "group": "Group",
    "label": "Label",
    "wording": "Wording",
}


@dataclass(frozen=True)
class Entry:
    """One entry of a table: a number with its counts and interval, or ``missing`` with the reason."""

    value: float = math.nan
    lo: float = math.nan
    hi: float = math.nan
    spread: float = math.nan
    """Standard deviation over seeds, with folds over the folds' means; NaN for one of them."""
    seeds: int = 0
    """Number of seeds, with folds of the fold that has most."""
    folds: int = 0
    """Number of folds that are averaged; 0 without folds."""
    folds_total: int = 0
    """Number of folds of the division."""
    n_labels: int = 0
    n_labels_total: int = 0
    n_cases: int = 0
    n_patients: int = 0
    prevalence: float = math.nan
    published: float = math.nan
    published_half_width: float = math.nan
    """Half the width of the interval that the paper prints; NaN if it prints none."""
    apart: str = ""
    """Why the paper's number for this row cannot be compared with ours: another system, or phantoms."""
    role: str = ""
    """in-distribution, shared, zero-shot or mixed (:mod:`uniferum.report.tables.roles`); empty if unknown."""
    missing: str = ""
    command: str = ""
    cells: tuple[str, ...] = ()
    best: bool = False
    method: str = ""
    """How the interval was made; empty without one."""
    reason: str = ""
    """Why a number has no interval, e.g. ``too few positives (3)``."""
    corrected: float = math.nan
    """Of average precision: corrected for few positives, the centre of the interval."""
    delong_lo: float = math.nan
    """DeLong's interval of a label with volumes as cases, the paper's; NaN over several seeds."""
    delong_hi: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.value)


@dataclass(frozen=True)
class ReportTable:
    """A table, independent of the format in which it is printed."""

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
    """Whether the numbers are of phantoms; the title says so too."""
    unit: str = "volume"
    """What one case is."""

    def heading(self, column: Key) -> str:
        """Heading of a column, e.g. ``INSPECT shared``; with the number of labels if all its numbers leave out some."""
        parts = zip(self.column_facts, column, strict=True)
        named = (_named(fact, part) for fact, part in parts)
        text = self.column_names.get(column) or " ".join(part for part in named if part)
        counts = self._label_counts(column)
        partial = [f"{n}/{total}" for n, total in counts if n < total]
        return f"{text} ({partial[0]} labels)" if partial and len(counts) == 1 else text

    def own_labels(self, row: Key, column: Key) -> str:
        """``on 7/18 labels`` if a number leaves out labels that others of its column do not; otherwise empty."""
        entry = self.entries[row, column]
        if not entry.known or entry.n_labels >= entry.n_labels_total or len(self._label_counts(column)) == 1:
            return ""
        return f" on {entry.n_labels}/{entry.n_labels_total} labels"

    def own_folds(self, row: Key, column: Key) -> str:
        """``on 3/5 folds`` if a number averages fewer folds than there are; otherwise empty."""
        entry = self.entries[row, column]
        return f" on {entry.folds}/{entry.folds_total} folds" if entry.known and entry.folds < entry.folds_total else ""

    def _label_counts(self, column: Key) -> set[tuple[int, int]]:
        return {(e.n_labels, e.n_labels_total) for (_, at), e in self.entries.items() if at == column and e.known}


def _named(fact: str, part: str) -> str:
    """A value in the heading of a column; that of an axis with the axis's name."""
    if fact not in HEADINGS:
        return f"{fact}={part or '-'}"
    return shown_encoder(part) if fact == "text_encoder" else part


def without_interval(entry: Entry) -> Entry:
    """Remove the interval and spread of a mean over what does not repeat."""
    none = math.nan
    return replace(
        entry, lo=none, hi=none, spread=none, delong_lo=none, delong_hi=none, corrected=none, method="", reason=""
    )


def intervals_said(entries: Collection[Entry]) -> tuple[str, ...]:
    """How the intervals of a table were made, and how many numbers have none because a class is too small."""
    counts = Counter(entry.method for entry in entries if entry.known and entry.method)
    said = tuple(f"{method} ({n} numbers)" if len(counts) > 1 else method for method, n in counts.items())
    few = sum(bool(entry.reason) for entry in entries)
    return (*said, f"none where a class has fewer than 5 patients ({few} numbers)") if few else said


def marked_best(
    entries: dict[tuple[Key, Key], Entry], lines: Sequence[Key], *, axis: int = 1, smallest: bool = False
) -> dict[tuple[Key, Key], Entry]:
    """Mark the best entry of each row or column; several if they are equal to four digits.

    A mean over fewer labels than others in its column is not comparable with them, and is skipped.

    Args:
        entries: all entries of a table.
        lines: its columns (``axis`` 1) or its rows (``axis`` 0).
        axis: the part of an entry's key that ``lines`` holds.
        smallest: smaller is better.
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
