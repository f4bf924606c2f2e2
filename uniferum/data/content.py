"""Content of a prepared store for a run's identity: its cohort, its vocabulary and its splits.

It is read without pandas and the libraries that decode scans, which take longer to load than planning takes. Invariant:
its digests equal those of :class:`uniferum.data.prepared_cohort.PreparedCohort`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from uniferum.config import canonical_json
from uniferum.data.folds import Folds, fold_splits
from uniferum.data.further_labels import FURTHER, further_columns, no_further_labels, with_further
from uniferum.data.provenance import SplitWord, read_words
from uniferum.data.settings import OnWrongHu
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.preprocessing.flags import WRONG_HU

SPLITS = ("train", "validation", "test")
TRAINING = "train"
LEARNT_FROM = ("train", "validation")
"""The splits that train and select."""


@dataclass(frozen=True)
class Content:
    """Content of a store for a run's identity: its cohort, its vocabulary and its splits.

    Attributes:
        scans: split to scan to patient and checksum, in the order of the scans.
        known: scan to label to 0 or 1.
        flags_of: scan to its quality flags, only for scans flagged ``wrong_hu``, because identity needs no others.
        left_out: training scans that :meth:`for_training` removed, with their flags.
        card: the store's description of its cohort: the YAML file and the folder from which it was prepared.
        path: the store's folder.
        splits: the cohort's statement about each split at preparation; empty in an older store.
    """

    name: str
    vocabulary: Vocabulary
    scans: Mapping[str, Mapping[str, tuple[str, str]]] = field(repr=False)
    known: Mapping[str, Mapping[str, int]] = field(repr=False)
    flags_of: Mapping[str, tuple[str, ...]] = field(repr=False)
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    card: Mapping[str, Any] = field(default_factory=dict, repr=False)
    path: Path | None = None
    splits: Mapping[str, SplitWord] = field(default_factory=dict, repr=False)
    _layers: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    _counts: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict, repr=False, compare=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _views: dict[tuple[str, Folds | None], "Content"] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> "Content | None":
        """Read the content of a finished local store; None if anything is not as a store writes it.

        Then :meth:`uniferum.data.prepared_cohort.PreparedCohort.open` either accepts the store, or reports the fault.
        """
        try:
            card = json.loads((path / "store.json").read_bytes())
            prompts = path / "prompts.json"
            extra = json.loads(prompts.read_bytes()) if prompts.exists() else {}
            words = path / "splits.json"
            splits = read_words(json.loads(words.read_bytes()) if words.exists() else {}, source=str(words))
            scans = _columns(path / "manifest.parquet", ("scan_id", "patient_id", "split", "checksum"))
            flagged = _flagged(path / "manifest.parquet", WRONG_HU)
            labels = _columns(path / "labels.parquet", ("scan_id", "label", "value"))
        except (OSError, ValueError, KeyError, TypeError, NotImplementedError):  # these include pyarrow's errors
            return None
        if not isinstance(card, dict) or card.get("format") != 1:
            return None
        rows, known = _by_split(*scans), _by_scan(*labels)
        if not rows or known is None:
            return None
        cohort = card.get("cohort", {})
        vocabulary = Vocabulary.load().extended(extra)
        name = str(cohort.get("name", ""))
        return cls(name, vocabulary, rows, known, flagged, card=cohort, path=path, splits=splits)

    def patients(self, split: str) -> dict[str, str]:
        """Map the scan ids of a split to patient ids, sorted by scan."""
        return {scan: patient for scan, (patient, _) in self.scans.get(split, {}).items()}

    def flags_in(self, split: str) -> dict[str, tuple[str, ...]]:
        """Map the scans of a split to flags, which are only read for scans flagged ``wrong_hu`` and else empty."""
        return {scan: self.flags_of.get(scan, ()) for scan in self.scans.get(split, {})}

    def for_training(self, policy: OnWrongHu, folds: Folds | None = None) -> "Content":
        """Cohort for a run, as :meth:`uniferum.data.prepared_cohort.PreparedCohort.for_training`."""
        if (policy, folds) not in self._views:
            view = self if folds is None else self._divided(folds)
            self._views[policy, folds] = view._without(left_out(view.flags_in(TRAINING), policy))
        return self._views[policy, folds]

    def _divided(self, folds: Folds) -> "Content":
        """The same scans, with the splits of a division into folds."""
        patients = {split: self.patients(split) for split in self.scans}
        splits: dict[str, dict[str, tuple[str, str]]] = {}
        facts = {scan: fact for scans in self.scans.values() for scan, fact in scans.items()}
        for scan, split in sorted(fold_splits(patients, self.known, folds).items()):
            splits.setdefault(split, {})[scan] = facts[scan]
        return replace(self, scans=splits, _counts={}, _digests={}, _views={})

    def _without(self, left: Mapping[str, tuple[str, ...]]) -> "Content":
        """The cohort without these training scans."""
        if not left:
            return self
        remaining = {scan: facts for scan, facts in self.scans.get(TRAINING, {}).items() if scan not in left}
        scans = {**self.scans, TRAINING: remaining}
        return replace(self, scans=scans, left_out=left, _counts={}, _digests={}, _views={})

    def with_further_labels(self) -> "Content":
        """Cohort as :meth:`uniferum.data.prepared_cohort.PreparedCohort.with_further_labels`."""
        if (FURTHER, None) not in self._views:
            self._views[FURTHER, None] = self._with_further() if further_columns(self.name) else self
        return self._views[FURTHER, None]

    def _with_further(self) -> "Content":
        from uniferum.preprocessing.store.store import FURTHER_LABELS

        try:
            assert self.path is not None, "the content of a store is read from its folder"
            rows = _columns(self.path / FURTHER_LABELS, ("scan_id", "label", "value"))
        except (OSError, ValueError, KeyError):
            raise no_further_labels(self.name) from None
        learnt = {scan for split in LEARNT_FROM for scan in self.scans.get(split, {})}
        known = {scan: dict(labels) for scan, labels in self.known.items()}
        for scan, label, value in zip(*rows, strict=True):
            if scan in learnt:
                known.setdefault(scan, {})[label] = value
        words = with_further(self.vocabulary, self.name)
        return replace(self, known=known, vocabulary=words, _counts={}, _digests={}, _views={})

    def split_sizes(self) -> dict[str, int]:
        """Number of scans of each split in the manifest."""
        return {split: len(scans) for split, scans in self.scans.items()}

    def unlisted(self) -> list[str]:
        """Scans with a known label that are not in the manifest, sorted."""
        return sorted(self.known.keys() - {scan for scans in self.scans.values() for scan in scans} - {*self.left_out})

    def scans_in(self, split: str) -> list[str]:
        """Scans of a split, sorted."""
        return list(self.scans.get(split, {}))

    def label_counts(self, split: str) -> dict[str, tuple[int, int]]:
        """Map each label to its numbers of known negatives and positives in a split."""
        if split not in self._counts:
            values = (self.known.get(scan, {}).items() for scan in self.scans.get(split, {}))
            self._counts[split] = count_labels(pair for labels in values for pair in labels)
        return self._counts[split]

    @property
    def layers_of(self) -> Mapping[str, tuple[str, ...]]:
        """Mask layers of each scan in the manifest, read on first use because only +SEG runs need them.

        Raises:
            UniferumError: the manifest does not list the scans' masks.
        """
        if not self._layers and self.path is not None:
            manifest = self.path / "manifest.parquet"
            try:
                scans, layers = _columns(manifest, ("scan_id", "layers"))
                self._layers.update(zip(scans, map(tuple, layers), strict=True))
            except (OSError, ValueError, KeyError, TypeError):
                cure = "prepare the cohort again"
                raise UniferumError(f"{manifest}: layers", must="list the masks of each scan", cure=cure) from None
        return self._layers

    def digest(self, split: str) -> str:
        """Digest of a split, as :meth:`uniferum.data.prepared_cohort.PreparedCohort.digest`."""
        if split not in self._digests:
            self._digests[split] = split_digest(self.scans.get(split, {}), self.known)
        return self._digests[split]


def left_out(flags: Mapping[str, tuple[str, ...]], policy: OnWrongHu) -> dict[str, tuple[str, ...]]:
    """Training scans that are removed by the policy, in the given order, with their flags."""
    return {scan: names for scan, names in flags.items() if WRONG_HU in names} if policy == "exclude" else {}


def count_labels(values: Iterable[tuple[str, int]]) -> dict[str, tuple[int, int]]:
    """Map each label to its numbers of zeros and ones."""
    counted = Counter(values)
    return {label: (counted[label, 0], counted[label, 1]) for label in dict.fromkeys(label for label, _ in counted)}


def split_digest(scans: Mapping[str, tuple[str, str]], known: Mapping[str, Mapping[str, int]]) -> str:
    """SHA-256 of a split: its scans in the order of their ids, with patient, content checksum and known labels.

    Args:
        scans: scan to patient and checksum, sorted.
        known: scan to label to 0 or 1; may contain scans of other splits.
    """
    total = hashlib.sha256()
    for scan, (patient, checksum) in scans.items():
        total.update(canonical_json([scan, patient, checksum, known.get(scan, {})]).encode() + b"\n")
    return total.hexdigest()


def _columns(file: Path, names: tuple[str, ...]) -> list[list[Any]]:
    """Read columns of a Parquet file.

    Raises:
        OSError, ValueError, KeyError: the file is missing or damaged, or has no such column.
    """
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as opened:
        table = opened.read(list(names))
    return [table.column(name).to_pylist() for name in names]


def _flagged(manifest: Path, flag: str) -> dict[str, tuple[str, ...]]:
    """Scans with a flag, and all their flags; searched in Arrow, because a Python list per scan is slow.

    Raises:
        OSError, ValueError, KeyError, TypeError, NotImplementedError: as :func:`_columns`, or the column has no lists.
    """
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(manifest) as opened:
        table = opened.read(["scan_id", "flags"]).combine_chunks()
    flags = table.column("flags")
    call = pyarrow.compute.call_function
    texts = call("list_flatten", [flags]).cast(pyarrow.string())
    # `equal` is not used: a scalar made of a Python value loads pandas.
    near = call("match_substring", [texts], pyarrow.compute.MatchSubstringOptions(flag))
    rows = table.take(call("list_parent_indices", [flags]).filter(near))
    pairs = zip(rows.column("scan_id").to_pylist(), rows.column("flags").to_pylist(), strict=True)
    return {scan: tuple(names) for scan, names in pairs if flag in names}


def _by_split(
    scans: list[Any], patients: list[Any], splits: list[Any], checksums: list[Any]
) -> dict[str, dict[str, tuple[str, str]]]:
    """Map each split to its scans, sorted; empty if an id is not a text, or a scan occurs twice."""
    if {str} != {*map(type, scans), *map(type, patients), *map(type, splits), *map(type, checksums)}:
        return {}
    by_split: dict[str, dict[str, tuple[str, str]]] = {}
    for scan, patient, split, checksum in sorted(zip(scans, patients, splits, checksums, strict=True)):
        by_split.setdefault(split, {})[scan] = patient, checksum
    return by_split if len(set(scans)) == len(scans) else {}


def _by_scan(scans: list[Any], labels: list[Any], values: list[Any]) -> dict[str, dict[str, int]] | None:
    """Known labels of each scan; None if an id is not a text, a value not 0 or 1, or a label is given twice."""
    if not {*map(type, scans), *map(type, labels)} <= {str} or not set(values) <= {0, 1}:
        return None
    by_scan: dict[str, dict[str, int]] = {}
    for scan, label, value in zip(scans, labels, values, strict=True):
        by_scan.setdefault(scan, {})[label] = value
    return by_scan if sum(map(len, by_scan.values())) == len(values) else None
