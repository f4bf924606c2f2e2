"""The words of the tasks: labels with their prompts, segmentable structures, and the groups that scores are given for.

Paper 3.3 and appendix Table 1. The words themselves stand in ``configs/terms/*.yaml``, one line of prompt each; a label
that two cohorts share is one label with one prompt, so that 18 + 8 + 32 = 58 prompts are distinct.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from uniferum.config import Section, load_yaml, parse
from uniferum.errors import UniferumError, near_miss

TERMS = Path(__file__).parents[2] / "configs" / "terms"
TOTALSEGMENTATOR = "totalsegmentator"
"""The mask layer that holds TotalSegmentator v2 ids 0 to 117; every other layer is binary."""
NODULE = "nodule"
"""The mask layer, and the structure, of lung nodules."""

Kind = Literal["diagnosis", "prognosis"]
GroupKey = tuple[str, str]


@dataclass(frozen=True)
class Label:
    """One classification label: what is asked, and what each dataset's own label file calls it."""

    id: str
    name: str
    prompt: str
    kind: Kind = "diagnosis"
    cohorts: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Structure:
    """Something to segment: the voxels of ``layer`` whose value is one of ``ids``."""

    id: str
    prompt: str
    layer: str = TOTALSEGMENTATOR
    ids: tuple[int, ...] = (1,)
    name: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """Labels and structures by id, and which labels make up each (cohort, group)."""

    labels: Mapping[str, Label]
    structures: Mapping[str, Structure]
    groups: Mapping[GroupKey, tuple[str, ...]]
    evaluation_only: frozenset[GroupKey] = frozenset()

    @classmethod
    def load(cls) -> "Vocabulary":
        """The paper's vocabulary, read once from ``configs/terms``.

        Raises:
            UniferumError: a terms file is missing or malformed.
        """
        return _load(TERMS)

    def of_cohort(self, cohort: str) -> tuple[str, ...]:
        """Ids of every label that ``cohort`` carries, group after group; empty for a cohort without labels."""
        return tuple(label for (name, _), labels in self.groups.items() if name == cohort for label in labels)

    def group_of(self, cohort: str, label: str) -> str:
        """The group (``all``, ``shared`` or ``unique``) that ``label`` is scored in for ``cohort``.

        Raises:
            UniferumError: the cohort has no such label.
        """
        for (name, group), labels in self.groups.items():
            if name == cohort and label in labels:
                return group
        raise UniferumError(f"label of {cohort}", label, must="be in its vocabulary", cure=self._nearest(cohort, label))

    def columns(self, cohort: str) -> dict[str, str]:
        """Label id -> column of the dataset's own label file, for the labels that the dataset itself ships."""
        named = ((label, self.labels[label].columns.get(cohort)) for label in self.of_cohort(cohort))
        return {label: column for label, column in named if column is not None}

    def trainable(self, cohort: str) -> tuple[str, ...]:
        """The labels of ``cohort`` that may be trained and selected on (not INSPECT's 12 shared ones: paper 3.4.3)."""
        kept = [labels for key, labels in self.groups.items() if key[0] == cohort and key not in self.evaluation_only]
        return tuple(label for labels in kept for label in labels)

    def organ_layers(self) -> frozenset[str]:
        """The mask layers that give organ tasks: every layer of a structure but that of the nodules."""
        return frozenset(structure.layer for structure in self.structures.values()) - {NODULE}

    def organs(self) -> tuple[Structure, ...]:
        """The structures of the TotalSegmentator layer: the paper's 60 organ tasks."""
        return tuple(s for s in self.structures.values() if s.layer == TOTALSEGMENTATOR)

    def extended(self, extra: Mapping[str, Any]) -> "Vocabulary":
        """This vocabulary with a folder cohort's own words added, its labels as the group ``all``.

        Args:
            extra: ``{"cohort": name, "labels": {id: {name, prompt, kind}}, "structures": {id: {name, prompt, layer,
                ids}}}``, as :meth:`uniferum.data.cohorts.base.Cohort.extra_vocabulary` gives it and a prepared store
                keeps it in ``prompts.json``; an empty mapping changes nothing.

        Raises:
            UniferumError: a malformed entry, or a known label with another prompt.
        """
        if not extra:
            return self
        words = parse(_Extra, extra, source="the cohort's own vocabulary")
        labels = dict(self.labels)
        for label, entry in words.labels.items():
            labels[label] = self._with_cohort(label, entry, words.cohort)
        structures = dict(self.structures)
        for structure, entry in words.structures.items():
            structures[structure] = Structure(structure, entry.prompt, entry.layer, entry.ids, entry.name)
        groups = {**self.groups, (words.cohort, "all"): tuple(words.labels)}
        return replace(self, labels=labels, structures=structures, groups=groups)

    def _with_cohort(self, label: str, entry: "_ExtraLabel", cohort: str) -> Label:
        known = self.labels.get(label)
        if known is None:
            return Label(label, entry.name or label, entry.prompt, entry.kind, (cohort,))
        if known.prompt != entry.prompt:
            cure = f"the vocabulary already asks '{known.prompt}' for this id; leave the prompt out, or rename it"
            raise UniferumError(f"label {label} of {cohort}", entry.prompt, must="keep its known prompt", cure=cure)
        return known if cohort in known.cohorts else replace(known, cohorts=(*known.cohorts, cohort))

    def _nearest(self, cohort: str, label: str) -> str:
        return near_miss(label, self.of_cohort(cohort))


def totalsegmentator_classes() -> tuple[str, ...]:
    """Names of the 117 classes of TotalSegmentator v2, task ``total``; the class of id ``i`` stands at ``i - 1``."""
    return tuple(_words(TERMS / "structures.yaml", _StructuresFile).totalsegmentator_v2_classes)


class _LabelEntry(Section):
    id: str
    name: str
    prompt: str
    kind: Kind = "diagnosis"
    columns: dict[str, str]


class _LabelsFile(Section):
    labels: tuple[_LabelEntry, ...]


class _StructureEntry(Section):
    id: str
    name: str
    prompt: str
    layer: str = TOTALSEGMENTATOR
    ids: tuple[int, ...]


class _StructuresFile(Section):
    single: tuple[_StructureEntry, ...]
    union: tuple[_StructureEntry, ...]
    other: tuple[_StructureEntry, ...]
    totalsegmentator_v2_classes: tuple[str, ...]


class _Group(Section):
    labels: tuple[str, ...]
    evaluation_only: bool = False


class _GroupsFile(Section):
    CTRATE: dict[str, _Group]
    INSPECT: dict[str, _Group]
    RADCHEST: dict[str, _Group]


class _ExtraLabel(Section):
    prompt: str
    name: str = ""
    kind: Kind = "diagnosis"


class _ExtraStructure(Section):
    prompt: str
    name: str = ""
    layer: str
    ids: tuple[int, ...] = (1,)


class _Extra(Section):
    cohort: str
    labels: dict[str, _ExtraLabel] = Field(default_factory=dict)
    structures: dict[str, _ExtraStructure] = Field(default_factory=dict)


S = TypeVar("S", bound=Section)
E = TypeVar("E", _LabelEntry, _StructureEntry)


def _words(path: Path, kind: type[S]) -> S:
    return parse(kind, load_yaml(path), source=str(path))


@cache
def _load(terms: Path) -> Vocabulary:
    groups, evaluation_only = _groups(terms / "groups.yaml")
    entries = _words(terms / "labels.yaml", _LabelsFile).labels
    labels = {
        e.id: Label(e.id, e.name, e.prompt, e.kind, _cohorts_with(e.id, groups), e.columns)
        for e in _unique(entries, terms / "labels.yaml")
    }
    unknown = sorted({label for group in groups.values() for label in group} - labels.keys())
    if unknown:
        raise UniferumError(f"{terms / 'groups.yaml'}: label", unknown[0], must="stand in labels.yaml")
    file = _words(terms / "structures.yaml", _StructuresFile)
    structures = {
        e.id: Structure(e.id, e.prompt, e.layer, e.ids, e.name)
        for e in _unique((*file.single, *file.union, *file.other), terms / "structures.yaml")
    }
    return Vocabulary(labels, structures, groups, evaluation_only)


def _groups(path: Path) -> tuple[dict[GroupKey, tuple[str, ...]], frozenset[GroupKey]]:
    file = _words(path, _GroupsFile)
    flat = {
        (cohort, name): group
        for cohort, named in ((key, getattr(file, key)) for key in _GroupsFile.model_fields)
        for name, group in named.items()
    }
    return {key: g.labels for key, g in flat.items()}, frozenset(k for k, g in flat.items() if g.evaluation_only)


def _cohorts_with(label: str, groups: Mapping[GroupKey, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cohort for (cohort, _), labels in groups.items() if label in labels))


def _unique(entries: Iterable[E], path: Path) -> Iterable[E]:
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            raise UniferumError(f"{path}: id", entry.id, must="occur once")
        seen.add(entry.id)
        yield entry
