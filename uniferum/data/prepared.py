"""A prepared cohort as the later stages see it: scans, known labels, words, masks, and a digest of their content.

The store on disk is the truth; nothing is kept here that is not in it. Identity needs no more than
:class:`uniferum.data.content.Content`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniferum.data.content import TRAINING, Content, count_labels, left_out, split_digest
from uniferum.data.flag_counts import count_flags, flags_of
from uniferum.data.provenance import SplitWord, read_words
from uniferum.data.settings import OnWrongHu
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.preprocessing.flags import WRONG_HU

if TYPE_CHECKING:
    import pandas as pd

    from uniferum.preprocessing.geometry import Geometry
    from uniferum.preprocessing.store.store import Store


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
        splits: what the cohort said of each split when it was prepared; nothing in an older store.
    """

    name: str
    store: "Store"
    scans: "pd.DataFrame"
    labels: "pd.DataFrame"
    vocabulary: Vocabulary
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    splits: Mapping[str, SplitWord] = field(default_factory=dict, repr=False)
    _present: dict[tuple[str, str], frozenset[int]] = field(default_factory=dict, repr=False, compare=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _views: dict[str, "PreparedCohort"] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path | str) -> "PreparedCohort":
        """Open a finished store.

        Raises:
            UniferumError: no store there, an unfinished or damaged one, or one without a readable scan.
        """
        from uniferum.preprocessing.store.store import Store

        store = Store.open(path)
        scans = store.manifest()
        if scans.empty:
            raise UniferumError(str(path), must="hold at least one prepared scan", cure="see its failures.csv")
        scans = scans.astype(dict.fromkeys(("scan_id", "patient_id", "split", "checksum"), "str"))
        twice = scans.loc[scans["scan_id"].duplicated(), "scan_id"].tolist()
        if twice:
            cure = "prepare the cohort again"
            raise UniferumError(f"{path}/manifest.parquet: scan_id", twice[0], must="occur once", cure=cure)
        scans = scans.sort_values("scan_id").reset_index(drop=True)
        labels = store.labels().astype({"scan_id": "str", "label": "str"})
        if not set(labels["value"].tolist()) <= {0, 1}:
            raise UniferumError(f"{path}: label value", must="be 0 or 1", cure="prepare the cohort again")
        labels = labels.sort_values(["scan_id", "label"]).reset_index(drop=True)
        words = read_words(store.splits(), source=f"{path}/splits.json")
        return cls(store.name, store, scans, labels, Vocabulary.load().extended(store.prompts()), splits=words)

    @property
    def geometry(self) -> "Geometry":
        """The grids that the scans were prepared on."""
        return self.store.geometry

    def patients(self, split: str) -> dict[str, str]:
        """Scan id to patient id of every scan of a split, sorted by scan."""
        columns = (self.scans[name].tolist() for name in ("scan_id", "patient_id", "split"))
        return {scan: patient for scan, patient, own in zip(*columns, strict=True) if own == split}

    def split_word(self, split: str) -> SplitWord | None:
        """The cohort's own word on a split, with the scans that are there now; ``None`` for a store without one."""
        return self.splits[split].replace(found=len(self.patients(split))) if split in self.splits else None

    def known(self) -> list[tuple[str, str, int]]:
        """Every known label: scan id, label id, 0 or 1; sorted by scan and label."""
        columns = (self.labels[name].tolist() for name in ("scan_id", "label", "value"))
        return list(zip(*columns, strict=True))

    @property
    def card(self) -> Mapping[str, Any]:
        """What the store says of its cohort: the YAML file and the folder that it was prepared from."""
        return self.store.card

    @property
    def path(self) -> str:
        """Where the store is."""
        return self.store.url

    def split_sizes(self) -> dict[str, int]:
        """Every split that the manifest names, and its number of scans."""
        return {str(split): int(count) for split, count in self.scans["split"].value_counts().items()}

    def unlisted(self) -> list[str]:
        """Scans with a known label that the manifest does not name, sorted."""
        return sorted(set(self.labels["scan_id"].tolist()) - set(self.scans["scan_id"].tolist()) - {*self.left_out})

    def scans_in(self, split: str) -> list[str]:
        """The scans of a split, sorted."""
        return list(self.patients(split))

    def label_counts(self, split: str) -> dict[str, tuple[int, int]]:
        """Label to its number of known negatives and positives in a split."""
        scans = self.patients(split)
        return count_labels((label, value) for scan, label, value in self.known() if scan in scans)

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
