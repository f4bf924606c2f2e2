"""The numbers that the paper prints, each with its table or section."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import Field

from uniferum.config import Section, parse
from uniferum.report.records import RowKey, mix_name
from uniferum.systems import trained_by_paper

PATH = Path(__file__).with_name("published_results.csv")


GROUPS = ("all", "shared", "unique")


@dataclass(frozen=True)
class Published:
    """One number of the paper."""

    table: str
    metric: str
    row: RowKey
    cohort: str
    group: str
    value: float
    source: str
    note: str

    @property
    def half_width(self) -> float | None:
        """Half the width of the printed 95 % DeLong interval (section 5.4); None if the paper prints none."""
        return self._noted(r"half-width ([\d.]+\d)")

    @property
    def p(self) -> float | None:
        """The printed p value of the difference from the same model without segmentation (section 5.4)."""
        return self._noted(r"\bp ([\d.]+\d)")

    def _noted(self, pattern: str) -> float | None:
        match = re.search(pattern, self.note)
        return float(match[1]) if match else None


class Line(Section):
    """One line of the CSV file; ``val_group`` is a group of the vocabulary, one label, or empty if unknown."""

    table: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    model: str = Field(min_length=1)
    text_encoder: str
    train_on: str = Field(min_length=1)
    val_dataset: str = Field(min_length=1)
    val_group: str
    value: float = Field(gt=0, lt=1)
    source: str = Field(min_length=1)
    note: str


@cache
def published(path: Path = PATH) -> tuple[Published, ...]:
    """Read every published number, in the order of the file.

    Raises:
        UniferumError: a line of the file is damaged; the message names the line and the column.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines, restkey="more", restval="")
        return tuple(_read({str(k): v for k, v in row.items()}, f"{path}: line {reader.line_num}") for row in reader)


def _read(row: Mapping[str, object], source: str) -> Published:
    line = parse(Line, row, source=source)
    key = line.model, line.text_encoder, mix_name(line.train_on.split("+"))
    group = line.val_group
    return Published(line.table, line.metric, key, line.val_dataset, group, line.value, line.source, line.note)


def find(metric: str, row: RowKey, cohort: str, group: str) -> Published | None:
    """Find the paper's number for a row and a column; ``group`` may be a label, by its id or as the paper spells it."""
    return _index().get((metric, row, cohort, slug(group)))


def slug(label: str) -> str:
    """Convert the paper's spelling of a label to its id: ``Pacemaker or defib`` to ``pacemaker_or_defib``."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def of_labels(metric: str) -> list[Published]:
    """List the numbers that the paper prints for single labels (appendix Table 3, section 5.4)."""
    ours = [p for p in published() if p.metric == metric and trained_by_paper(p.row[0])]
    return [p for p in ours if p.group and p.group not in GROUPS]


@cache
def _index() -> dict[tuple[str, RowKey, str, str], Published]:
    return {(p.metric, p.row, p.cohort, slug(p.group)): p for p in published() if p.group}


def rows(metric: str) -> list[RowKey]:
    """List the rows for which the paper prints group means, including the systems that it cites."""
    return list(dict.fromkeys(p.row for p in published() if p.metric == metric and p.group in GROUPS))
