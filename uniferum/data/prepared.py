"""A prepared cohort as the later stages see it: scans, known labels, words, masks, and a digest of their content.

The store on disk is the truth; nothing is kept here that is not in it.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from uniferum.config import canonical_json
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.store import Store

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PreparedCohort:
    """One store, opened.

    Attributes:
        name: the cohort's key, e.g. ``CTRATE``.
        store: reads volumes and masks.
        scans: one row a scan: scan_id, patient_id, study_id, split, checksum, flags, layers, ...
        labels: one row a known label: scan_id, label, value (0 or 1).
        vocabulary: the paper's words and the cohort's own.
    """

    name: str
    store: Store
    scans: pd.DataFrame
    labels: pd.DataFrame
    vocabulary: Vocabulary
    _present: dict[tuple[str, str], frozenset[int]] = field(default_factory=dict, repr=False, compare=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path | str) -> "PreparedCohort":
        """Open a finished store.

        Raises:
            UniferumError: no store there, an unfinished one, or one without a readable scan.
        """
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
    def geometry(self) -> Geometry:
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

    def digest(self, split: str) -> str:
        """SHA-256 over the split's scans: ids, patients, content checksums and known labels, in a fixed order."""
        if split not in self._digests:
            self._digests[split] = self._digest(split)
        return self._digests[split]

    def _digest(self, split: str) -> str:
        patients = self.patients(split)
        labels: dict[str, dict[str, int]] = {scan: {} for scan in patients}
        for scan, label, value in self.known():
            if scan in labels:
                labels[scan][label] = value
        checksums = dict(zip(self.scans["scan_id"].tolist(), self.scans["checksum"].tolist(), strict=True))
        total = hashlib.sha256()
        for scan, patient in patients.items():
            total.update(canonical_json([scan, patient, checksums[scan], labels[scan]]).encode() + b"\n")
        return total.hexdigest()

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
        return np.unique(self.store.read_mask(scan_id, layer, self.store.config.levels[0])).tolist()
