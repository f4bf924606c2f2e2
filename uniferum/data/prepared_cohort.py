"""A prepared cohort for the later stages: scans, known labels, vocabulary, masks, and a digest of their content.

All data come from the store on disk. To compute a run's identity, the smaller
:class:`uniferum.data.content.Content` is enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniferum.data.content import LEARNT_FROM, TRAINING, Content, count_labels, left_out, split_digest
from uniferum.data.flag_counts import count_flags, flags_of
from uniferum.data.folds import Folds, fold_splits
from uniferum.data.further_labels import FURTHER, further_columns, no_further_labels, with_further
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
    """One opened store.

    Attributes:
        name: key of the cohort, e.g. ``CTRATE``.
        store: the store of volumes and masks.
        scans: one row per scan: scan_id, patient_id, study_id, split, checksum, flags, layers, ...
        labels: one row per known label: scan_id, label, value (0 or 1).
        vocabulary: the paper's vocabulary with the cohort's additions.
        left_out: training scans that :meth:`for_training` removed, with their flags.
        splits: the cohort's statement about each split at preparation; empty in an older store.
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
    _views: dict[tuple[str, Folds | None], "PreparedCohort"] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path | str) -> "PreparedCohort":
        """Open a finished store.

        Raises:
            UniferumError: there is no store, it is unfinished or damaged, or it has no readable scan.
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
        """Grids of the prepared scans."""
        return self.store.geometry

    def patients(self, split: str) -> dict[str, str]:
        """Map the scan ids of a split to patient ids, sorted by scan."""
        columns = (self.scans[name].tolist() for name in ("scan_id", "patient_id", "split"))
        return {scan: patient for scan, patient, scan_split in zip(*columns, strict=True) if scan_split == split}

    def split_word(self, split: str) -> SplitWord | None:
        """The cohort's statement about a split, with its current number of scans; ``None`` if the store has none."""
        return self.splits[split].replace(found=len(self.patients(split))) if split in self.splits else None

    def known(self) -> list[tuple[str, str, int]]:
        """Known labels: scan id, label id, 0 or 1; sorted by scan and label."""
        columns = (self.labels[name].tolist() for name in ("scan_id", "label", "value"))
        return list(zip(*columns, strict=True))

    @property
    def card(self) -> Mapping[str, Any]:
        """The store's description of its cohort: the YAML file and the folder from which it was prepared."""
        return self.store.card

    @property
    def path(self) -> str:
        """Path or URL of the store."""
        return self.store.url

    def split_sizes(self) -> dict[str, int]:
        """Number of scans of each split in the manifest."""
        return {str(split): int(count) for split, count in self.scans["split"].value_counts().items()}

    def unlisted(self) -> list[str]:
        """Scans with a known label that are not in the manifest, sorted."""
        return sorted(set(self.labels["scan_id"].tolist()) - set(self.scans["scan_id"].tolist()) - {*self.left_out})

    def scans_in(self, split: str) -> list[str]:
        """Scans of a split, sorted."""
        return list(self.patients(split))

    def label_counts(self, split: str) -> dict[str, tuple[int, int]]:
        """Map each label to its numbers of known negatives and positives in a split."""
        scans = self.patients(split)
        return count_labels((label, value) for scan, label, value in self.known() if scan in scans)

    @cached_property
    def flags_of(self) -> dict[str, tuple[str, ...]]:
        """Quality flags of each scan."""
        return flags_of(self.scans)

    def flags_in(self, split: str) -> dict[str, tuple[str, ...]]:
        """Quality flags of each scan of a split."""
        return {scan: self.flags_of[scan] for scan in self.patients(split)}

    def for_training(self, policy: OnWrongHu, folds: Folds | None = None) -> "PreparedCohort":
        """Cohort for a run: with ``exclude``, its training split has no scan that is flagged ``wrong_hu``.

        The other splits keep all scans with any policy.

        Args:
            policy: what happens to training scans that are flagged ``wrong_hu``.
            folds: the division of the scans that replaces the store's splits.
        """
        if (policy, folds) not in self._views:
            view = self if folds is None else self._divided(folds)
            left = left_out(view.flags_in(TRAINING), policy)
            scans = view.scans.loc[~view.scans["scan_id"].isin(left)].reset_index(drop=True)
            view = replace(view, scans=scans, left_out=left, _digests={}, _views={}) if left else view
            self._views[policy, folds] = view
        return self._views[policy, folds]

    def with_further_labels(self) -> "PreparedCohort":
        """Cohort with all labels of its dataset on the scans that train and select, beyond the paper's.

        Raises:
            UniferumError: the store was prepared without them.
        """
        if (FURTHER, None) not in self._views:
            self._views[FURTHER, None] = self._with_further() if further_columns(self.name) else self
        return self._views[FURTHER, None]

    def _with_further(self) -> "PreparedCohort":
        import pandas as pd

        rows = self.store.further_labels()
        if rows is None:
            raise no_further_labels(self.name)
        learnt = [scan for split in LEARNT_FROM for scan in self.patients(split)]
        rows = rows.loc[rows["scan_id"].isin(learnt)].astype({"scan_id": "str", "label": "str"})
        labels = pd.concat([self.labels, rows]).sort_values(["scan_id", "label"]).reset_index(drop=True)
        words = with_further(self.vocabulary, self.name)
        return replace(self, labels=labels, vocabulary=words, _digests={}, _views={})

    def _divided(self, folds: Folds) -> "PreparedCohort":
        """The same scans, with the splits of a division into folds."""
        known = self._known_by_scan()
        splits = fold_splits({split: self.patients(split) for split in self.split_sizes()}, known, folds)
        scans = self.scans.assign(split=[splits[scan] for scan in self.scans["scan_id"].tolist()])
        return replace(self, scans=scans, splits=self._words_of(folds), _digests={}, _views={})

    def _words_of(self, folds: Folds) -> dict[str, SplitWord]:
        """The statements that still hold under folds: on the test split the store's own, unless it is divided."""
        if not folds.nested:
            return {split: word for split, word in self.splits.items() if split == "test"}
        phantoms = any(word.phantoms for word in self.splits.values())
        note = f"fold {folds.index} of {folds.count}, by patient"
        return {"test": SplitWord(kind="own", seed=folds.seed, note=note, phantoms=phantoms, found=0)}

    def digest(self, split: str) -> str:
        """SHA-256 of the split's scans: ids, patients, content checksums and known labels, in a fixed order."""
        if split not in self._digests:
            self._digests[split] = self._digest(split)
        return self._digests[split]

    def _digest(self, split: str) -> str:
        checksums = dict(zip(self.scans["scan_id"].tolist(), self.scans["checksum"].tolist(), strict=True))
        scans = {scan: (patient, checksums[scan]) for scan, patient in self.patients(split).items()}
        return split_digest(scans, self._known_by_scan())

    def _known_by_scan(self) -> dict[str, dict[str, int]]:
        """Map each scan to its known labels."""
        known: dict[str, dict[str, int]] = {}
        for scan, label, value in self.known():
            known.setdefault(scan, {})[label] = value
        return known

    @cached_property
    def layers_of(self) -> dict[str, tuple[str, ...]]:
        """Mask layers of each scan."""
        columns = (self.scans[name].tolist() for name in ("scan_id", "layers"))
        return {scan: tuple(layers) for scan, layers in zip(*columns, strict=True)}

    def present(self, scan_id: str, layer: str) -> frozenset[int]:
        """Values other than 0 in a mask layer of a scan, from its file's header."""
        key = (scan_id, layer)
        if key not in self._present:
            entry = self.store.header(scan_id)["arrays"].get(f"{layer}@train", {})
            values = entry["values"] if "values" in entry else self._values(scan_id, layer)
            self._present[key] = frozenset(values) - {0}
        return self._present[key]

    def _values(self, scan_id: str, layer: str) -> list[int]:
        """Values of a mask whose header does not list them: a store with only the full level."""
        import numpy as np

        return np.unique(self.store.read_mask(scan_id, layer, self.store.config.levels[0])).tolist()


def left_out_line(cohort: PreparedCohort | Content) -> str:
    """Sentence on the training scans of a cohort that :meth:`for_training` removed; empty if there are none."""
    out = len(cohort.left_out)
    total = out + len(cohort.flags_in(TRAINING))
    sentence = (
        f"{cohort.name}: {out} of {total} training scans are left out, flagged {WRONG_HU} (data.on_wrong_hu: exclude)"
    )
    return sentence if out else ""


def refuse_flagged(cohort: PreparedCohort | Content, split: str, policy: OnWrongHu) -> None:
    """Refuse a split with a scan that is flagged ``wrong_hu`` if the policy is to stop.

    Raises:
        UniferumError: the message gives the number of these scans and names three.
    """
    counts = count_flags(cohort.flags_in(split)) if policy == "stop" else ()
    for flag in counts:
        if flag.flag == WRONG_HU:
            shown = f"{flag.count} of {flag.total} scans are flagged {WRONG_HU}: {', '.join(flag.examples)}"
            cure = "repair them and prepare again, or set data.on_wrong_hu to exclude or keep"
            raise UniferumError(
                f"{cohort.name} {split} split", shown, must="hold HU (data.on_wrong_hu: stop)", cure=cure
            )
