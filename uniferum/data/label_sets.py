"""Label sets: other labels of a cohort's test scans, from a file beside the store, with their own column in tables.

A file is a table with one row per scan and one column per label, or one row per scan and label with the columns
``label`` and ``value``; its first column holds the scan ids. It is read as strictly as a dataset's own tables. An empty
cell is unknown.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniferum.data.cohorts.tables import Row, header, rows
from uniferum.data.cohorts.values import known
from uniferum.errors import UniferumError, near_miss

if TYPE_CHECKING:
    from uniferum.data.content import Content
    from uniferum.data.prepared_cohort import PreparedCohort

LONG = frozenset({"label", "value"})
ENDINGS = (".nii.gz", ".npz", ".mha")
_TITLE = re.compile(r"(?P<cohort>.+) \[(?P<name>[^\[\]]+)\]")


@dataclass(frozen=True)
class LabelSet:
    """One label file for the test split of a cohort.

    Attributes:
        cohort: the cohort whose scans it labels.
        name: its name in the config.
        path: the file.
        digest: SHA-256 of the file.
        known: test scan to label to 0 or 1.
        scans: number of test scans of the cohort.
        elsewhere: rows of scans that are not in the test split.
        labels: labels that the file has, in its order.
    """

    cohort: str
    name: str
    path: Path
    digest: str
    known: Mapping[str, Mapping[str, int]] = field(repr=False)
    scans: int
    elsewhere: int
    labels: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its name as a column of tables: ``CTRATE [refined]``."""
        return column_title(self.cohort, self.name)

    @property
    def positives(self) -> int:
        """Number of positive labels."""
        return sum(sum(labels.values()) for labels in self.known.values())

    def record(self) -> dict[str, Any]:
        """What the record of a run says about it."""
        values = Counter(value for labels in self.known.values() for value in labels.values())
        return {
            "cohort": self.cohort,
            "name": self.name,
            "file": self.path.name,
            "digest": self.digest,
            "test_scans": self.scans,
            "scans": len(self.known),
            "elsewhere": self.elsewhere,
            "labels": list(self.labels),
            "positives": values[1],
            "negatives": values[0],
        }


def column_title(cohort: str, name: str) -> str:
    """Name of a label set as a cohort in tables and records."""
    return f"{cohort} [{name}]"


def set_of(title: str) -> tuple[str, str] | None:
    """Cohort and name of a label set's title; None for a plain cohort.

    Examples:
        >>> set_of("CTRATE [refined]"), set_of("CTRATE")
        (('CTRATE', 'refined'), None)
    """
    match = _TITLE.fullmatch(title)
    return None if match is None else (match["cohort"], match["name"])


def described(record: Mapping[str, Any]) -> str:
    """One sentence without its full stop about a label set, from :meth:`LabelSet.record`."""
    labels, count = record["labels"], record["scans"]
    text = (
        f"{column_title(record['cohort'], record['name'])}: labels of {record['file']} (SHA-256 "
        f"{record['digest'][:12]}), {count} of {record['test_scans']} test scans, {len(labels)} labels, "
        f"{record['positives']} positive and {record['negatives']} negative"
    )
    others = record["elsewhere"]
    return text + (f"; not read: {others} scans that are not in the test split" if others else "")


def file_digest(path: Path, where: str) -> str:
    """SHA-256 of a label file.

    Args:
        path: the file.
        where: the key that names it, for the error.

    Raises:
        UniferumError: it cannot be read.
    """
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UniferumError(where, str(path), must="be a readable label file", cure=reason) from None


def read_label_set(cohort: "Content | PreparedCohort", name: str, path: Path) -> LabelSet:
    """Read a label file for the test split of a cohort.

    Raises:
        UniferumError: the file is missing or damaged, a column is no label of the cohort, a value is neither 0, 1 nor
            empty, a scan has two rows, or no row is of a test scan.
    """
    digest = file_digest(path, f"evaluation.labels.{cohort.name}.{name}")
    columns = header(path)
    if len(columns) < 2:
        raise UniferumError(f"{path}: columns", ", ".join(columns), must="be a scan id and at least one label")
    scan_column, *others = columns
    if _spellings(cohort).get(scan_column.casefold()) is not None:
        must = "be the column of scan ids, because it is the first"
        raise UniferumError(f"{path}: column {scan_column}", must=must, cure="write the scan ids before the labels")
    test = frozenset(cohort.scans_in("test"))
    read = _long if set(others) == LONG else _wide
    values, labels, elsewhere = read(cohort, path, scan_column, others, test)
    if not any(values.values()):
        some = ", ".join(sorted(test)[:3])
        must = f"have a label of a test scan of {cohort.name}"
        raise UniferumError(f"{path}: column {scan_column}", must=must, cure=f"its test scans are {some}, ...")
    kept = {scan: own for scan, own in sorted(values.items()) if own}
    return LabelSet(cohort.name, name, path, digest, kept, len(test), elsewhere, labels)


def with_labels(cohort: "PreparedCohort", labels: LabelSet) -> "PreparedCohort":
    """The cohort with the labels of a set instead of its own."""
    import pandas as pd

    triples = [(scan, label, value) for scan, own in labels.known.items() for label, value in own.items()]
    table = pd.DataFrame(triples, columns=["scan_id", "label", "value"])
    return replace(cohort, labels=table, _digests={}, _views={})


Values = tuple[dict[str, dict[str, int]], tuple[str, ...], int]
"""Test scan to label to value, the labels, and the number of other scans."""


def _wide(
    cohort: "Content | PreparedCohort", path: Path, scan_column: str, columns: Sequence[str], test: frozenset[str]
) -> Values:
    """Read a table with one row per scan."""
    of_column = _labels_of(cohort, columns, path)
    values: dict[str, dict[str, int]] = {}
    elsewhere: set[str] = set()
    for row in rows(path, (scan_column, *columns)):
        scan = _scan(row, scan_column, test)
        if scan in values or scan in elsewhere:
            raise UniferumError(row.where(scan_column), scan, must="occur once", cure="remove one of the two rows")
        read = {label: known(row[column], row, column) for column, label in of_column.items()}
        if scan not in test:
            elsewhere.add(scan)
            continue
        values[scan] = {label: value for label, value in read.items() if value is not None}
    return values, tuple(of_column.values()), len(elsewhere)


def _long(
    cohort: "Content | PreparedCohort", path: Path, scan_column: str, columns: Sequence[str], test: frozenset[str]
) -> Values:
    """Read a table with one row per scan and label."""
    seen: set[tuple[str, str]] = set()
    values: dict[str, dict[str, int]] = {}
    elsewhere: set[str] = set()
    labels: dict[str, None] = {}
    spellings = _spellings(cohort)
    for row in rows(path, (scan_column, *columns)):
        scan, text = _scan(row, scan_column, test), row["label"]
        label = spellings.get(text.casefold())
        if label is None:
            raise UniferumError(row.where("label"), text, must=f"be a label of {cohort.name}", cure=_near(text, cohort))
        if (scan, label) in seen:
            raise UniferumError(row.where("label"), text, must="occur once for a scan", cure="remove one of the rows")
        seen.add((scan, label))
        labels[label] = None
        value = known(row["value"], row, "value")
        if scan not in test:
            elsewhere.add(scan)
        elif value is not None:
            values.setdefault(scan, {})[label] = value
    return values, tuple(labels), len(elsewhere)


def _scan(row: Row, column: str, test: frozenset[str]) -> str:
    """The scan of a row, without the ending of a file name."""
    text = row[column]
    if not text:
        raise UniferumError(row.where(column), must="name a scan")
    if text in test:
        return text
    ending = next((one for one in ENDINGS if text.endswith(one)), "")
    return text.removesuffix(ending)


def _labels_of(cohort: "Content | PreparedCohort", columns: Iterable[str], path: Path) -> dict[str, str]:
    """Map the columns of a table to labels of the cohort."""
    spellings = _spellings(cohort)
    of_column: dict[str, str] = {}
    for column in columns:
        label = spellings.get(column.casefold())
        if label is None:
            must = f"be a label of {cohort.name}"
            raise UniferumError(f"{path}: column {column}", must=must, cure=_near(column, cohort))
        if label in of_column.values():
            raise UniferumError(f"{path}: column {column}", must=f"be the only one of label {label}")
        of_column[column] = label
    return of_column


def _near(text: str, cohort: "Content | PreparedCohort") -> str:
    return near_miss(text, cohort.vocabulary.of_cohort(cohort.name))


def _spellings(cohort: "Content | PreparedCohort") -> dict[str, str]:
    """Id, name and dataset column of each label of the cohort, in lower case, to the label."""
    words = cohort.vocabulary
    columns = words.columns(cohort.name)
    return {
        text.casefold(): label
        for label in words.of_cohort(cohort.name)
        for text in (words.labels[label].name, columns.get(label, label), label)
    }
