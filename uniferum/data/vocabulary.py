"""Vocabulary of the tasks: labels with prompts, structures to segment, and groups of labels for scores.

Paper 3.3 and appendix Table 1. The entries are in ``configs/terms/*.yaml``, with one line of prompt each. A label of
two cohorts is one label with one prompt, so there are 18 + 8 + 32 = 58 distinct prompts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar
from zlib import crc32

from pydantic import Field

from uniferum.config import Section, load_yaml, parse
from uniferum.errors import UniferumError, near_miss

TERMS = Path(__file__).parents[2] / "configs" / "terms"
TOTALSEGMENTATOR = "totalsegmentator"
"""Mask layer with TotalSegmentator v2 ids 0 to 117; all other layers are binary."""
NODULE = "nodule"
"""Name of the mask layer, and of the structure, of lung nodules."""

Kind = Literal["diagnosis", "prognosis"]
GroupKey = tuple[str, str]


@dataclass(frozen=True)
class Label:
    """A classification label: its prompt, and its column in each dataset's label file."""

    id: str
    name: str
    prompt: str
    kind: Kind = "diagnosis"
    cohorts: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Structure:
    """A structure to segment: the voxels of ``layer`` with one of the values ``ids``."""

    id: str
    prompt: str
    layer: str = TOTALSEGMENTATOR
    ids: tuple[int, ...] = (1,)
    name: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """Labels and structures by id, and the labels of each (cohort, group)."""

    labels: Mapping[str, Label]
    structures: Mapping[str, Structure]
    groups: Mapping[GroupKey, tuple[str, ...]]
    evaluation_only: frozenset[GroupKey] = frozenset()

    @classmethod
    def load(cls) -> "Vocabulary":
        """Load the paper's vocabulary from ``configs/terms``; it is read once.

        Raises:
            UniferumError: a terms file is missing or malformed.
        """
        return _load(TERMS)

    def of_cohort(self, cohort: str) -> tuple[str, ...]:
        """Ids of all labels of ``cohort``, by group; empty for a cohort without labels."""
        return tuple(label for (name, _), labels in self.groups.items() if name == cohort for label in labels)

    def group_of(self, cohort: str, label: str) -> str:
        """Group (``all``, ``shared`` or ``unique``) of ``label`` in the scores of ``cohort``.

        Raises:
            UniferumError: the cohort does not have this label.
        """
        for (name, group), labels in self.groups.items():
            if name == cohort and label in labels:
                return group
        raise UniferumError(f"label of {cohort}", label, must="be in its vocabulary", cure=self._nearest(cohort, label))

    def columns(self, cohort: str) -> dict[str, str]:
        """Label id to column of the dataset's label file, for the labels that the dataset contains."""
        named = ((label, self.labels[label].columns.get(cohort)) for label in self.of_cohort(cohort))
        return {label: column for label, column in named if column is not None}

    def trainable(self, cohort: str, count: int | None = None) -> tuple[str, ...]:
        """Labels of ``cohort`` for training and selection (without INSPECT's 12 shared ones: paper 3.4.3).

        Args:
            cohort: the cohort's name.
            count: so many of them, see ``sampling.label_count``; None: all.

        Raises:
            UniferumError: the cohort has fewer labels than ``count``.
        """
        groups = [labels for key, labels in self.groups.items() if key[0] == cohort and key not in self.evaluation_only]
        labels = tuple(label for part in groups for label in part)
        if count is None:
            return labels
        if count > len(labels):
            raise UniferumError("sampling.label_count", count, must=f"be at most {len(labels)}, the labels of {cohort}")
        chosen = sorted(labels, key=lambda label: (crc32(label.encode()), label))[:count]
        return tuple(label for label in labels if label in chosen)

    def organs(self) -> tuple[Structure, ...]:
        """Structures of the TotalSegmentator layer: the paper's 60 organ tasks."""
        return tuple(s for s in self.structures.values() if s.layer == TOTALSEGMENTATOR)

    def extended(self, extra: Mapping[str, Any]) -> "Vocabulary":
        """Copy of this vocabulary with the additions of a folder cohort; its labels form the group ``all``.

        Args:
            extra: ``{"cohort": name, "labels": {id: {name, prompt, kind}}, "structures": {id: {name, prompt, layer,
                ids}}}`` from :meth:`uniferum.data.cohorts.base.Cohort.extra_vocabulary`, as stored in ``prompts.json``;
                an empty mapping changes nothing.

        Raises:
            UniferumError: an entry is malformed, or a known label has another prompt.
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
            cure = f"this id already has the prompt '{known.prompt}'; remove the prompt, or rename the label"
            raise UniferumError(f"label {label} of {cohort}", entry.prompt, must="keep its known prompt", cure=cure)
        return known if cohort in known.cohorts else replace(known, cohorts=(*known.cohorts, cohort))

    def _nearest(self, cohort: str, label: str) -> str:
        return near_miss(label, self.of_cohort(cohort))


def totalsegmentator_classes() -> tuple[str, ...]:
    """Names of the 117 classes of TotalSegmentator v2, task ``total``; the class with id ``i`` has index ``i - 1``."""
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
        raise UniferumError(f"{terms / 'groups.yaml'}: label", unknown[0], must="be in labels.yaml")
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
    ids: set[str] = set()
    for entry in entries:
        if entry.id in ids:
            raise UniferumError(f"{path}: id", entry.id, must="occur once")
        ids.add(entry.id)
        yield entry
