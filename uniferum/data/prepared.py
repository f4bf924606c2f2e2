"""A prepared cohort as the later stages see it: scans, known labels, words, masks, and a digest of their content.

The store on disk is the truth; nothing is kept here that is not in it. Identity needs no more than :class:`Content`,
which is read without pandas and the libraries that decode scans: they take longer to load than a plan to make.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniferum.config import canonical_json
from uniferum.data.flag_counts import count_flags, flags_of
from uniferum.data.settings import OnWrongHu
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.preprocessing.flags import WRONG_HU

if TYPE_CHECKING:
    import pandas as pd

    from uniferum.preprocessing.geometry import Geometry
    from uniferum.preprocessing.store import Store

SPLITS = ("train", "validation", "test")
TRAINING = "train"


@dataclass(frozen=True)
class PreparedCohort:
    """One store, opened.

    Attributes:
        name: the cohort's key, e.g. ``CTRATE``.
        store: reads volumes and masks.
        scans: one row a scan: scan_id, patient_id, study_id, split, checksum, flags, layers, ...
        labels: one row a known label: scan_id, label, value (0 or 1).
        vocabulary: the paper's words and the cohort's own.
        left_out: scans of the training split that :meth:`for_training` took out, with their flags.
    """

    name: str
    store: "Store"
    scans: "pd.DataFrame"
    labels: "pd.DataFrame"
    vocabulary: Vocabulary
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _present: dict[tuple[str, str], frozenset[int]] = field(default_factory=dict, repr=False, compare=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _views: dict[str, "PreparedCohort"] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path | str) -> "PreparedCohort":
        """Open a finished store.

        Raises:
            UniferumError: no store there, an unfinished one, or one without a readable scan.
        """
        from uniferum.preprocessing.store import Store

        store = Store.open(path)
        scans = store.manifest()
        if scans.empty:
            raise UniferumError(str(path), must="hold at least one prepared scan", cure="see its failures.csv")
        scans = scans.astype(dict.fromkeys(("scan_id", "patient_id", "split", "checksum"), "str"))
        scans = scans.sort_values("scan_id").reset_index(drop=True)
        labels = store.labels().astype({"scan_id": "str", "label": "str"})
        if not set(labels["value"].tolist()) <= {0, 1}:
            raise UniferumError(f"{path}: label value", must="be 0 or 1", cure="prepare the cohort again")
        labels = labels.sort_values(["scan_id", "label"]).reset_index(drop=True)
        return cls(store.name, store, scans, labels, Vocabulary.load().extended(store.prompts()))

    @property
    def geometry(self) -> "Geometry":
        """The grids that the scans were prepared on."""
        return self.store.geometry

    def patients(self, split: str) -> dict[str, str]:
        """Scan id to patient id of every scan of a split, sorted by scan."""
        columns = (self.scans[name].tolist() for name in ("scan_id", "patient_id", "split"))
        return {scan: patient for scan, patient, own in zip(*columns, strict=True) if own == split}

    def known(self) -> list[tuple[str, str, int]]:
        """Every known label: scan id, label id, 0 or 1; sorted by scan and label."""
        columns = (self.labels[name].tolist() for name in ("scan_id", "label", "value"))
        return list(zip(*columns, strict=True))

    @cached_property
    def flags_of(self) -> dict[str, tuple[str, ...]]:
        """The quality flags of each scan."""
        return flags_of(self.scans)

    def flags_in(self, split: str) -> dict[str, tuple[str, ...]]:
        """The quality flags of each scan of a split."""
        return {scan: self.flags_of[scan] for scan in self.patients(split)}

    def for_training(self, policy: OnWrongHu) -> "PreparedCohort":
        """The cohort as a run sees it: with ``exclude`` its training split has no scan that is flagged ``wrong_hu``.

        The other splits keep every scan, whatever the policy.
        """
        if policy not in self._views:
            left = left_out(self.flags_in(TRAINING), policy)
            scans = self.scans.loc[~self.scans["scan_id"].isin(left)].reset_index(drop=True)
            self._views[policy] = replace(self, scans=scans, left_out=left, _digests={}, _views={}) if left else self
        return self._views[policy]

    def digest(self, split: str) -> str:
        """SHA-256 over the split's scans: ids, patients, content checksums and known labels, in a fixed order."""
        if split not in self._digests:
            self._digests[split] = self._digest(split)
        return self._digests[split]

    def _digest(self, split: str) -> str:
        checksums = dict(zip(self.scans["scan_id"].tolist(), self.scans["checksum"].tolist(), strict=True))
        known: dict[str, dict[str, int]] = {}
        for scan, label, value in self.known():
            known.setdefault(scan, {})[label] = value
        return split_digest({scan: (own, checksums[scan]) for scan, own in self.patients(split).items()}, known)

    @cached_property
    def layers_of(self) -> dict[str, tuple[str, ...]]:
        """The mask layers of each scan."""
        columns = (self.scans[name].tolist() for name in ("scan_id", "layers"))
        return {scan: tuple(layers) for scan, layers in zip(*columns, strict=True)}

    def present(self, scan_id: str, layer: str) -> frozenset[int]:
        """The values, without 0, that occur in a mask layer of a scan, as its file's header says."""
        key = (scan_id, layer)
        if key not in self._present:
            entry = self.store.header(scan_id)["arrays"].get(f"{layer}@train", {})
            values = entry["values"] if "values" in entry else self._values(scan_id, layer)
            self._present[key] = frozenset(values) - {0}
        return self._present[key]

    def _values(self, scan_id: str, layer: str) -> list[int]:
        """The values of a mask whose header does not name them: a store of the full level only."""
        import numpy as np

        return np.unique(self.store.read_mask(scan_id, layer, self.store.config.levels[0])).tolist()


@dataclass(frozen=True)
class Content:
    """What identity needs of a store: whose it is, its words, and what its splits hold.

    Attributes:
        scans: split to scan to patient and checksum, in the order of the scans.
        known: scan to label to 0 or 1.
        flags_of: scan to its quality flags, of those flagged ``wrong_hu`` alone: identity asks for no others.
        left_out: scans of the training split that :meth:`for_training` took out, with their flags.
    """

    name: str
    vocabulary: Vocabulary
    scans: Mapping[str, Mapping[str, tuple[str, str]]] = field(repr=False)
    known: Mapping[str, Mapping[str, int]] = field(repr=False)
    flags_of: Mapping[str, tuple[str, ...]] = field(repr=False)
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _views: dict[str, "Content"] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> "Content | None":
        """The content of a finished local store; None where anything is not as a store writes it.

        Then :meth:`PreparedCohort.open` either takes the store, or says what is wrong with it.
        """
        try:
            card = json.loads((path / "store.json").read_bytes())
            words = path / "prompts.json"
            extra = json.loads(words.read_bytes()) if words.exists() else {}
            scans = _columns(path / "manifest.parquet", ("scan_id", "patient_id", "split", "checksum"))
            flagged = _flagged(path / "manifest.parquet", WRONG_HU)
            labels = _columns(path / "labels.parquet", ("scan_id", "label", "value"))
        except (OSError, ValueError, KeyError, TypeError, NotImplementedError):  # pyarrow's own faults are among these
            return None
        if not isinstance(card, dict) or card.get("format") != 1:
            return None
        rows, known = _by_split(*scans), _by_scan(*labels)
        if not rows or known is None:
            return None
        name = str(card.get("cohort", {}).get("name", ""))
        return cls(name, Vocabulary.load().extended(extra), rows, known, flagged)

    def flags_in(self, split: str) -> dict[str, tuple[str, ...]]:
        """As :meth:`PreparedCohort.flags_in`, but without the flags of scans that are not flagged ``wrong_hu``."""
        return {scan: self.flags_of.get(scan, ()) for scan in self.scans.get(split, {})}

    def for_training(self, policy: OnWrongHu) -> "Content":
        """As :meth:`PreparedCohort.for_training`."""
        if policy not in self._views:
            left = left_out(self.flags_in(TRAINING), policy)
            kept = {scan: facts for scan, facts in self.scans.get(TRAINING, {}).items() if scan not in left}
            scans = {**self.scans, TRAINING: kept}
            self._views[policy] = replace(self, scans=scans, left_out=left, _digests={}, _views={}) if left else self
        return self._views[policy]

    def digest(self, split: str) -> str:
        """As :meth:`PreparedCohort.digest`."""
        if split not in self._digests:
            self._digests[split] = split_digest(self.scans.get(split, {}), self.known)
        return self._digests[split]


def left_out(flags: Mapping[str, tuple[str, ...]], policy: OnWrongHu) -> dict[str, tuple[str, ...]]:
    """Which of some training scans are not trained on, in the order given, with their flags."""
    return {scan: own for scan, own in flags.items() if WRONG_HU in own} if policy == "exclude" else {}


def left_out_line(cohort: PreparedCohort | Content) -> str:
    """How many scans of a cohort, as :meth:`for_training` gives it, are not trained on; empty where all are."""
    out = len(cohort.left_out)
    total = out + len(cohort.flags_in(TRAINING))
    said = (
        f"{cohort.name}: {out} of {total} training scans are left out, flagged {WRONG_HU} (data.on_wrong_hu: exclude)"
    )
    return said if out else ""


def refuse_flagged(cohort: PreparedCohort | Content, split: str, policy: OnWrongHu) -> None:
    """Refuse a split that holds a scan flagged ``wrong_hu`` where the policy is to stop.

    Raises:
        UniferumError: says how many scans there are, and names three.
    """
    found = count_flags(cohort.flags_in(split)) if policy == "stop" else ()
    for flag in found:
        if flag.flag == WRONG_HU:
            shown = f"{flag.count} of {flag.total} scans are flagged {WRONG_HU}: {', '.join(flag.examples)}"
            cure = "mend them and prepare again, or set data.on_wrong_hu to exclude or keep"
            raise UniferumError(
                f"{cohort.name} {split} split", shown, must="hold HU (data.on_wrong_hu: stop)", cure=cure
            )


def split_digest(scans: Mapping[str, tuple[str, str]], known: Mapping[str, Mapping[str, int]]) -> str:
    """SHA-256 over a split: its scans in the order of their ids, with patient, content checksum and known labels.

    Args:
        scans: scan to patient and checksum, sorted.
        known: scan to label to 0 or 1; may hold the scans of other splits too.
    """
    total = hashlib.sha256()
    for scan, (patient, checksum) in scans.items():
        total.update(canonical_json([scan, patient, checksum, known.get(scan, {})]).encode() + b"\n")
    return total.hexdigest()


def _columns(file: Path, names: tuple[str, ...]) -> list[list[Any]]:
    """Some columns of a Parquet file.

    Raises:
        OSError, ValueError, KeyError: there is no such file, it is damaged, or it lacks a column.
    """
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as opened:
        table = opened.read(list(names))
    return [table.column(name).to_pylist() for name in names]


def _flagged(manifest: Path, flag: str) -> dict[str, tuple[str, ...]]:
    """The scans that carry a flag, with all their flags; looked for in Arrow, for a list a scan in Python is slow.

    Raises:
        OSError, ValueError, KeyError, TypeError, NotImplementedError: as :func:`_columns`, or the column is no lists.
    """
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(manifest) as opened:
        table = opened.read(["scan_id", "flags"]).combine_chunks()
    flags = table.column("flags")
    # Not `equal`: a scalar made of a Python value loads pandas.
    near = pyarrow.compute.match_substring(pyarrow.compute.list_flatten(flags).cast(pyarrow.string()), flag)
    rows = table.take(pyarrow.compute.list_parent_indices(flags).filter(near))
    found = zip(rows.column("scan_id").to_pylist(), rows.column("flags").to_pylist(), strict=True)
    return {scan: tuple(own) for scan, own in found if flag in own}


def _by_split(
    scans: list[Any], patients: list[Any], splits: list[Any], checksums: list[Any]
) -> dict[str, dict[str, tuple[str, str]]]:
    """The scans of each split, sorted; nothing where an id is no text, or a scan's occurs twice."""
    if {str} != {*map(type, scans), *map(type, patients), *map(type, splits), *map(type, checksums)}:
        return {}
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for scan, patient, split, checksum in sorted(zip(scans, patients, splits, checksums, strict=True)):
        found.setdefault(split, {})[scan] = patient, checksum
    return found if len(set(scans)) == len(scans) else {}


def _by_scan(scans: list[Any], labels: list[Any], values: list[Any]) -> dict[str, dict[str, int]] | None:
    """The known labels of each scan; None where an id is no text, a value not 0 or 1, or a label is given twice."""
    if not {*map(type, scans), *map(type, labels)} <= {str} or not set(values) <= {0, 1}:
        return None
    found: dict[str, dict[str, int]] = {}
    for scan, label, value in zip(scans, labels, values, strict=True):
        found.setdefault(scan, {})[label] = value
    return found if sum(map(len, found.values())) == len(values) else None
