"""Roles of the numbers of a table: in-distribution, shared or zero-shot (:mod:`uniferum.evaluation.benchmark`).

Invariant: the best number of a line is the best of its role, because a cell that trained on a cohort does not compete
with one that never saw it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from uniferum.data.label_sets import set_of
from uniferum.data.vocabulary import Vocabulary
from uniferum.evaluation.benchmark import label_role
from uniferum.evaluation.mask_words import METRICS as MASK_METRICS
from uniferum.report.records import CellRecord
from uniferum.report.systems import section
from uniferum.report.tables.entries import Entry, Key, ReportTable, marked_best

Groups = Mapping[tuple[str, str], tuple[str, ...]]

MIXED = "mixed"
LETTERS = {"in-distribution": "", "shared": "s", "zero-shot": "z", MIXED: "m"}
"""What is printed behind a number of each role."""
SAID = {
    "in-distribution": "in-distribution (the cell trained on this cohort)",
    "shared": "shared (labels that the cell trained on, in another cohort)",
    "zero-shot": "zero-shot (labels that the cell never trained on)",
    MIXED: "mixed (shared and zero-shot labels together)",
}
UNTRAINED = "_zero_shot"
"""Ending of the names of systems that are not trained at all."""


class Roles:
    """Roles of labels and groups for each cell; what a cell trained on is found once."""

    def __init__(self, records: Iterable[CellRecord]) -> None:
        self._vocabulary = Vocabulary.load()
        self._groups = dict(self._vocabulary.groups)
        for record in records:  # the groups and labels of a user's own cohorts
            for key, labels in record.label_reasons.items():
                self._groups[key] = tuple(dict.fromkeys((*self._groups.get(key, ()), *labels)))
        self._trained: dict[str, tuple[Groups, set[str]]] = {}

    def role(self, record: CellRecord, cohort: str, group: str, label: str = "") -> str:
        """The role of a label, or of the labels of a group that were scored; empty if the group is unknown."""
        reasons = record.label_reasons.get((cohort, group), {})
        labelled = set_of(cohort)
        column = labelled[0] if labelled else cohort, group
        known = [name for name, reason in reasons.items() if not reason] or self._groups.get(column, ())
        if record.name not in self._trained:
            own = self._training_labels(record)
            self._trained[record.name] = own, {name for labels in own.values() for name in labels}
        own, anywhere = self._trained[record.name]
        only = self._vocabulary.evaluation_only
        return _only(
            label_role(own, record.train_on, column, name, only) if name in anywhere else "zero-shot"
            for name in ((label,) if label else known)
        )

    def _training_labels(self, record: CellRecord) -> Groups:
        """The labels that a cell trained on; fewer than its cohorts have with ``sampling.label_count``."""
        if record.model.endswith(UNTRAINED):
            return {}
        only, count = self._vocabulary.evaluation_only, section(record.config, "sampling").get("label_count")
        own = {key: labels for key, labels in self._groups.items() if key[0] in record.train_on and key not in only}
        if not count:
            return own
        paper = {cohort for cohort, _ in self._vocabulary.groups}
        chosen = {c: self._vocabulary.trainable(c, int(count)) for c in record.train_on if c in paper}
        return {
            key: tuple(name for name in labels if name in chosen.get(key[0], labels)) for key, labels in own.items()
        }


def with_roles(table: ReportTable, records: Sequence[CellRecord], *, smallest: bool = False) -> ReportTable:
    """Give each number of a table its role, and mark the best of each line and role.

    Args:
        table: with the cells of each number.
        records: the cells.
        smallest: smaller is better.
    """
    finder, cells = Roles(records), {record.name: record for record in records}
    facts = (*table.row_facts, *table.column_facts)
    if table.metric in MASK_METRICS or not {"cohort", "group"} <= set(facts):
        return table
    entries: dict[tuple[Key, Key], Entry] = {}
    for (row, column), entry in table.entries.items():
        named = dict(zip(facts, (*row, *column), strict=True))
        where = named["cohort"], named["group"], named.get("label", "")
        roles = {finder.role(cells[name], *where) for name in entry.cells if name in cells}
        entries[row, column] = replace(entry, role=_only(roles), best=False)
    across = table.best_of == "row"
    lines, axis = (table.rows, 0) if across else (table.columns, 1)
    made = dict(entries)
    for role in {entry.role for entry in entries.values()}:
        of_role = {key: entry for key, entry in entries.items() if entry.role == role}
        made |= marked_best(of_role, lines, axis=axis, smallest=smallest)
    return replace(table, entries={key: made[key] for key in entries})


def _only(roles: Iterable[str]) -> str:
    """The role that all share; ``mixed`` if they differ."""
    distinct = set(roles)
    return distinct.pop() if len(distinct) == 1 else MIXED if distinct else ""


def shown_roles(table: ReportTable) -> list[str]:
    """The roles of a table's numbers, in the order of :data:`LETTERS`."""
    there = {entry.role for entry in table.entries.values() if entry.known}
    return [role for role in LETTERS if role in there]


def role_line(table: ReportTable) -> str:
    """Explain the letters behind numbers, or name the one role of all; empty without roles."""
    roles = shown_roles(table)
    if not roles:
        return ""
    if len(roles) == 1:
        return f"All numbers are {SAID[roles[0]]}."
    said = [f"{LETTERS[role] or 'no letter'}: {SAID[role]}" for role in roles]
    return f"Behind a number, {'; '.join(said)}."
