"""The registry of published values: system, training data, test set, labels, metric, interval, source, date.

Two sources make one registry: what the paper prints (``published_results.csv``) and ``registry.yaml``, which adds other
systems' values and says what each was scored on. A fact that a source does not state, or that was not read there, is
``None``: it is never guessed, and a value without it is never set beside a cell.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from uniferum.config import Section, load
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import near_miss
from uniferum.report.published import GROUPS, Published, published, slug
from uniferum.report.records import RowKey
from uniferum.report.tables.rendering import shown_name

PATH = Path(__file__).with_name("registry.yaml")
PAPER_YEAR = "2025"
ENCODERS = {"pubmedbert": "PubMedBERT", "gatortron": "GatorTron"}
"""Names of the text encoders in the paper."""


class TestSet(Section):
    """A test set; ``papers`` if it is the paper's own test set of the cohort."""

    __test__ = False  # pytest: not a test class

    cohort: str
    n: int | None = Field(gt=0)
    unit: Literal["volume", "scan", "patient"] | None
    split: str | None
    papers: bool = False

    @model_validator(mode="after")
    def _papers_set_is_known(self) -> Self:
        if self.papers and None in (self.n, self.unit, self.split):
            raise ValueError("give n, unit and split of a test set that is the paper's")
        return self

    @property
    def unknown(self) -> str:
        """The unknown facts, as text."""
        facts = {"N": self.n, "the unit": self.unit, "the split": self.split}
        return ", ".join(name for name, value in facts.items() if value is None)

    def __str__(self) -> str:
        """``3002 volumes of the official validation set``."""
        count = "N unknown" if self.n is None else f"{self.n} {self.unit or 'case'}s"
        return f"{count}, {self.split or 'split unknown'}"


class RegistryRow(Section):
    """One value of ``registry.yaml``; its labels are a group of the vocabulary, one label, others or unknown."""

    system: str = Field(min_length=1)
    setting: str | None
    training_data: str | None
    test_set: str
    group: str | None = None
    label: str | None = None
    other_labels: str | None = None
    metric: str = Field(min_length=1)
    value: float = Field(gt=0, lt=1)
    interval: tuple[float, float] | None = None
    source: str = Field(min_length=1)
    date: str | None = Field(pattern=r"^\d{4}(-\d\d(-\d\d)?)?$")
    note: str = ""

    @model_validator(mode="after")
    def _one_kind_of_labels(self) -> Self:
        if sum(one is not None for one in (self.group, self.label, self.other_labels)) > 1:
            raise ValueError("have one of group, label and other_labels, or none where its labels are unknown")
        if self.interval is not None and not self.interval[0] <= self.value <= self.interval[1]:
            raise ValueError("lie within its interval")
        return self


class RegistryFile(Section):
    """``registry.yaml``."""

    read: datetime.date
    test_sets: dict[str, TestSet]
    cited: dict[str, str]
    rows: tuple[RegistryRow, ...]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name in (*self.cited.values(), *(row.test_set for row in self.rows)):
            if name not in self.test_sets:
                raise ValueError(f"name a test set of test_sets, not '{name}'; {near_miss(name, self.test_sets)}")
        models = {one.row[0] for one in published()}
        for model in self.cited:
            if model not in models:
                raise ValueError(f"name a model of the paper's tables, not '{model}'; {near_miss(model, models)}")
        own = [test_set.cohort for test_set in self.test_sets.values() if test_set.papers]
        if len(set(own)) < len(own):
            raise ValueError("have one test set a cohort that is the paper's")
        return self

    @model_validator(mode="after")
    def _labels_are_known(self) -> Self:
        groups = Vocabulary.load().groups
        for row in self.rows:
            cohort = self.test_sets[row.test_set].cohort
            if row.group is not None and (cohort, row.group) not in groups:
                raise ValueError(f"name a group of {cohort}, not '{row.group}' ({row.system})")
            if row.label is not None and not any(row.label in groups[key] for key in groups if key[0] == cohort):
                raise ValueError(f"name a label of {cohort}, not '{row.label}' ({row.system})")
        return self


@dataclass(frozen=True)
class PublishedValue:
    """One published value.

    Attributes:
        row: the row of the paper's tables that it stands in; ``None`` for a value from elsewhere.
        group: the vocabulary's group that it is a mean over, or that its label is of; empty where that is unknown.
        label: the one label that it is of; empty for a mean.
        labels_known: whether the source says which labels it is of.
        other_labels: which, where they are no group of the vocabulary.
        p: of the difference from the same model without segmentation, where the paper prints one.
        date: of the source; ``None`` if it is not known.
    """

    system: str
    training_data: str | None
    test_set: TestSet
    group: str
    label: str
    labels_known: bool
    other_labels: str
    metric: str
    value: float
    interval: tuple[float, float] | None
    p: float | None
    source: str
    date: str | None
    note: str
    row: RowKey | None = None


@cache
def registry(path: Path = PATH) -> tuple[PublishedValue, ...]:
    """Read every published value: the paper's in the order of its tables, then the others.

    Raises:
        UniferumError: the file is damaged; the message names the key.
    """
    file = _read(path)
    own = {test_set.cohort: test_set for test_set in file.test_sets.values() if test_set.papers}
    cited = {model: file.test_sets[name] for model, name in file.cited.items()}
    paper = [_printed(one, cited.get(one.row[0], own[one.cohort])) for one in published()]
    return (*paper, *(_listed(row, file.test_sets) for row in file.rows))


def read_on(path: Path = PATH) -> datetime.date:
    """The date on which the sources of ``registry.yaml`` were read."""
    return _read(path).read


@cache
def _read(path: Path) -> RegistryFile:
    return load(RegistryFile, path)


def _printed(one: Published, test_set: TestSet) -> PublishedValue:
    model, encoder, mix = one.row
    label = "" if one.group in GROUPS else slug(one.group)
    half = one.half_width
    return PublishedValue(
        system=shown_name(model) + (f" ({ENCODERS.get(encoder, encoder)})" if encoder else ""),
        training_data=mix,
        test_set=test_set,
        group=Vocabulary.load().group_of(one.cohort, label) if label else one.group,
        label=label,
        labels_known=bool(one.group),
        other_labels="",
        metric=one.metric,
        value=one.value,
        interval=None if half is None else (round(one.value - half, 6), round(one.value + half, 6)),
        p=one.p,
        source=one.source,
        date=PAPER_YEAR,
        note=one.note,
        row=one.row,
    )


def _listed(row: RegistryRow, test_sets: Mapping[str, TestSet]) -> PublishedValue:
    test_set = test_sets[row.test_set]
    return PublishedValue(
        system=row.system + (f" ({row.setting})" if row.setting else ""),
        training_data=row.training_data,
        test_set=test_set,
        group=Vocabulary.load().group_of(test_set.cohort, row.label) if row.label else row.group or "",
        label=row.label or "",
        labels_known=(row.group or row.label or row.other_labels) is not None,
        other_labels=row.other_labels or "",
        metric=row.metric,
        value=row.value,
        interval=row.interval,
        p=None,
        source=row.source,
        date=row.date,
        note=row.note,
    )
