"""The prepared store: a folder of scan files with a manifest, on a disk or behind a URL (docs/store.md).

Invariant: a scan file is complete and carries the signature of its source. ``manifest.parquet`` is written last, from
these files, so the store can be rebuilt, resumed and verified from them alone.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Int16, UInt8

from uniferum.config import canonical_json, fingerprint, parse
from uniferum.errors import StateError, UniferumError
from uniferum.preprocessing.geometry import Geometry
from uniferum.preprocessing.pipeline import PreparationConfig, PreparedScan
from uniferum.preprocessing.store import scanfile
from uniferum.preprocessing.store.filesystem import LocalFolder, location_of
from uniferum.preprocessing.store.other_settings import other_settings

FORMAT = 1
# Increased whenever the same scan and settings give other voxels, so that earlier scans are prepared again.
METHOD = 2
Level = Literal["train", "full"]
MANIFEST = "manifest.parquet"
LABELS = "labels.parquet"
FURTHER_LABELS = "further_labels.parquet"
FAILURES = "failures.csv"
PROMPTS = "prompts.json"
SPLITS = "splits.json"


class Store:
    """A prepared cohort, made by :meth:`create` or :meth:`open`; it can be pickled and used by many processes."""

    def __init__(self, url: str, card: dict[str, Any], config: PreparationConfig, staging: Path | None = None) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self.url = url
        self.card = card
        self.config = config
        self._location = location_of(url)
        self._staging = staging

    @classmethod
    def create(cls, path: str | Path, cohort_card: Mapping[str, Any], config: PreparationConfig) -> "Store":
        """Create a store, or continue one that exists.

        Raises:
            UniferumError: the folder has a store of another cohort or with other preparation settings.
        """
        location = location_of(path)
        if location.exists("store.json"):
            store = cls.open(path)
            if store.name != cohort_card.get("name"):
                raise UniferumError(str(path), store.name, must=f"be a store of {cohort_card.get('name')}")
            if store.config != config:
                raise other_settings(path, store.config, config)
            if isinstance(location, LocalFolder):
                location.sweep("scans")
            return store
        text = {"format": FORMAT, "cohort": dict(cohort_card), "preparation": config.model_dump(mode="json")}
        location.write("store.json", json.dumps(text, indent=1).encode())
        return cls(location.url, dict(cohort_card), config)

    @classmethod
    def open(cls, path: str | Path, *, staging: Path | None = None) -> "Store":
        """Open an existing store.

        Args:
            path: a folder, or a URL that fsspec supports.
            staging: for a remote store, a local folder to which scan files are copied when they are first read; by
                default the folder in UNIFERUM_STAGE, if it is set.

        Raises:
            UniferumError: there is no store, its description is damaged, or its format is different.
        """
        location = location_of(path)
        try:
            description = json.loads(location.read("store.json"))
        except FileNotFoundError:
            cure = "make one with: uniferum data prepare COHORT.yaml --out STORE"
            raise UniferumError(str(path), must="be a prepared store (it has no store.json)", cure=cure) from None
        except ValueError:  # no JSON, or no UTF-8
            description = None
        known = description if isinstance(description, dict) else {}
        if known.get("format", FORMAT) != FORMAT:
            raise UniferumError(f"{path}/store.json: format", known["format"], must=f"be {FORMAT}")
        if not {"format", "cohort", "preparation"} <= known.keys():
            cure = "it is damaged: remove it, and prepare the cohort again with the same --out"
            raise UniferumError(f"{path}/store.json", must="describe a prepared store", cure=cure)
        config = parse(PreparationConfig, known["preparation"], source=f"{path}/store.json")
        named = os.environ.get("UNIFERUM_STAGE")
        return cls(location.url, known["cohort"], config, staging or (Path(named) if named else None))

    @property
    def name(self) -> str:
        """The cohort's name."""
        return str(self.card.get("name", ""))

    @property
    def geometry(self) -> Geometry:
        """The grids of the store's levels."""
        return self.config.geometry

    @cached_property
    def config_fingerprint(self) -> str:
        """Fingerprint of the preparation settings; scans with another one are prepared again."""
        return preparation_fingerprint(self.config)

    def write(self, prepared: PreparedScan, source: Mapping[str, Any] | None = None) -> scanfile.Header:
        """Write one prepared scan completely or not at all; ``source`` is its signature."""
        arrays = {scanfile.array_name(level): hu for level, hu in prepared.levels.items()}
        for layer, levels in prepared.masks.items():
            arrays |= {scanfile.array_name(level, layer): mask for level, mask in levels.items()}
        header = {**prepared.facts(), "source": dict(source or {}), "config": self.config_fingerprint}
        whole, parts = scanfile.pack(header, arrays)
        self._location.write(scan_file(prepared.scan_id), *parts)
        return whole

    def write_montage(self, scan_id: str, png: bytes) -> None:
        """Write a picture of a scan."""
        self._location.write(scan_file(scan_id).replace("scans/", "montages/").removesuffix(".ufs") + ".png", png)

    def header(self, scan_id: str) -> scanfile.Header:
        """Read the header of a scan's file.

        Raises:
            UniferumError: the scan is not in the store, or its file is damaged.
        """
        return self._opened(scan_id)[2][0]

    def read(self, scan_id: str, level: Level = "train", *, x: slice | None = None) -> Int16[np.ndarray, "x y z"]:
        """Read a level in HU, or only its rows ``x``.

        Raises:
            UniferumError: the scan or the level is not in the store, or a slab is damaged.
        """
        return self._array(scan_id, scanfile.array_name(level), x)

    def read_mask(
        self, scan_id: str, layer: str, level: Level = "train", *, x: slice | None = None
    ) -> UInt8[np.ndarray, "x y z"]:
        """Read a mask layer on a level's grid, or only its rows ``x``; raises as :meth:`read`."""
        return self._array(scan_id, scanfile.array_name(level, layer), x)

    def affine(self, scan_id: str, level: Level = "train") -> np.ndarray:
        """Affine (voxel index to RAS mm, 4 x 4 float64) of a level."""
        return np.asarray(self.header(scan_id)["affine"][level], dtype=np.float64)

    def layers(self, scan_id: str) -> tuple[str, ...]:
        """The scan's mask layers, sorted."""
        names = (name.partition("@") for name in self.header(scan_id)["arrays"])
        return tuple(sorted({layer for layer, at, _ in names if at}))

    def scan_files(self) -> list[str]:
        """Names of all scan files, sorted."""
        return [name for name in self._location.names("scans") if name.endswith(".ufs")]

    def is_current(self, scan_id: str, unchanged: Callable[[Mapping[str, Any]], bool]) -> bool:
        """Whether the scan is prepared with these settings from a source that is ``unchanged``."""
        try:
            header = self.header(scan_id)
        except UniferumError:
            return False
        return header["config"] == self.config_fingerprint and unchanged(header["source"])

    def manifest(self) -> pd.DataFrame:
        """One row per scan: scan_id, patient_id, study_id, split, checksum, flags, lung_source, layers, ...

        Raises:
            UniferumError: preparation is not finished.
        """
        return self._table(MANIFEST)

    def labels(self) -> pd.DataFrame:
        """Known labels, one per row: scan_id, label, value (0 or 1); raises as :meth:`manifest`."""
        return self._table(LABELS)

    def further_labels(self) -> pd.DataFrame | None:
        """Known labels beyond the paper's, as :meth:`labels`; None for a store without them."""
        return self._table(FURTHER_LABELS) if self._location.exists(FURTHER_LABELS) else None

    def prompts(self) -> dict[str, Any]:
        """Additional vocabulary of a folder cohort; empty for the cohorts of the paper."""
        return json.loads(self._location.read(PROMPTS)) if self._location.exists(PROMPTS) else {}

    def splits(self) -> Any:
        """The cohort's statement about each split, unchecked; empty for an older store without one.

        Raises:
            UniferumError: the file is damaged.
        """
        try:
            return json.loads(self._location.read(SPLITS)) if self._location.exists(SPLITS) else {}
        except ValueError:
            cure = "run uniferum data prepare again: it writes the tables again"
            raise UniferumError(f"{self.url}/{SPLITS}", must="be valid JSON", cure=cure) from None

    def failures(self) -> pd.DataFrame:
        """Scans that could not be prepared: scan_id, file, reason."""
        if not self._location.exists(FAILURES):
            return pd.DataFrame({"scan_id": [], "file": [], "reason": []}, dtype=str)
        return pd.read_csv(BytesIO(self._location.read(FAILURES)), dtype=str, keep_default_na=False)

    def finish(
        self,
        manifest: Sequence[Mapping[str, Any]],
        labels: Sequence[Mapping[str, Any]],
        failures: Sequence[Mapping[str, str]],
        prompts: Mapping[str, Any],
        splits: Mapping[str, Any] | None = None,
        further: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write the tables; the manifest is last."""
        self._location.write(SPLITS, json.dumps(dict(splits or {}), indent=1).encode())
        table = pd.DataFrame(list(failures), columns=["scan_id", "file", "reason"])
        self._location.write(FAILURES, table.to_csv(index=False).encode())
        self._location.write(PROMPTS, json.dumps(dict(prompts), indent=1, sort_keys=True).encode())
        if further or self._location.exists(FURTHER_LABELS):
            self._location.write(FURTHER_LABELS, _labels(further))
        self._location.write(LABELS, _labels(labels))
        self._location.write(MANIFEST, _parquet(pd.DataFrame(list(manifest), columns=list(MANIFEST_COLUMNS))))

    def verify(self, scan_ids: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
        """Decode every array and compare its checksum with the manifest.

        Yields:
            scan id and fault, which is empty if the scan is intact.
        """
        known = self.manifest().set_index("scan_id")["checksum"]
        for scan_id in known.index if scan_ids is None else scan_ids:
            yield str(scan_id), self._fault(str(scan_id), str(known[scan_id]))

    def remove(self, scan_id: str) -> None:
        """Delete a scan's file, so that the scan is prepared again."""
        self._location.remove(scan_file(scan_id))

    def stage(self, scan_ids: Iterable[str]) -> None:
        """Copy scan files to the staging folder before they are first read."""
        for scan_id in scan_ids if self._staging and self._staged_as else ():
            self._local(scan_file(scan_id))

    def free_bytes(self) -> int | None:
        """Free space on the disk of the store; ``None`` for a URL."""
        return self._location.free_bytes() if isinstance(self._location, LocalFolder) else None

    def _fault(self, scan_id: str, expected: str) -> str:
        try:
            location, name, opened = self._opened(scan_id)
            arrays = {array: scanfile.read_array(location, name, array, opened=opened) for array in opened[0]["arrays"]}
        except UniferumError as error:
            return str(error)
        return "" if scanfile.checksum(arrays) == expected == opened[0]["checksum"] else "checksum differs"

    def _array(self, scan_id: str, array: str, x: slice | None) -> np.ndarray:
        location, name, opened = self._opened(scan_id)
        if array not in opened[0]["arrays"]:
            has = ", ".join(opened[0]["arrays"])
            raise UniferumError(f"{self.url}: {scan_id}", array, must="be an array of this scan", cure=f"it has {has}")
        return scanfile.read_array(location, name, array, opened=opened, x=x)

    def _opened(self, scan_id: str) -> tuple[Any, str, tuple[scanfile.Header, int, bytes]]:
        name = scan_file(scan_id)
        try:
            location = self._local(name) if self._staging and self._staged_as else self._location
            return location, name, scanfile.read_header(location, name)
        except FileNotFoundError:
            raise UniferumError(f"{self.url}: {scan_id}", must="be in the store", cure="prepare it") from None

    def _local(self, name: str) -> LocalFolder:
        assert self._staging is not None, "staging needs a folder"
        local = LocalFolder(self._staging / self._staged_as)
        if not local.exists(name):
            content = self._location.read(name)
            try:
                local.write(name, content)
            except OSError as error:
                cure = "Free some space, or unset UNIFERUM_STAGE to read in place."
                statement = f"Scans cannot be staged in {self._staging} ({error.strerror})"
                raise StateError(statement, cure=cure) from None
        return local

    @cached_property
    def _staged_as(self) -> str:
        """Folder of the staged copies, named by the store's content; empty while the store is unfinished."""
        if not self._location.exists(MANIFEST):
            return ""
        return fingerprint([self.url, hashlib.sha256(self._location.read(MANIFEST)).hexdigest()])

    def _table(self, name: str) -> pd.DataFrame:
        try:
            return pd.read_parquet(BytesIO(self._location.read(name)))
        except FileNotFoundError:
            cure = "run uniferum data prepare again: it continues where it stopped"
            raise UniferumError(f"{self.url}/{name}", must="exist", cure=cure) from None


def _labels(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return _parquet(pd.DataFrame(list(rows), columns=["scan_id", "label", "value"]).astype({"value": "int8"}))


MANIFEST_COLUMNS = (
    "scan_id",
    "patient_id",
    "study_id",
    "split",
    "checksum",
    "flags",
    "lung_source",
    "layers",
    "spacing_raw_mm",
    "shape_raw",
    "centre_mm",
    "kept_voxels",
    "notes",
)


def manifest_row(header: scanfile.Header, *, patient_id: str, study_id: str, split: str) -> dict[str, Any]:
    """A scan's row in the manifest: only published identifiers, geometry and quality."""
    layers = sorted({name.partition("@")[0] for name in header["arrays"] if "@" in name})
    facts = {key: header[key] for key in MANIFEST_COLUMNS if key in header}
    return {**facts, "patient_id": patient_id, "study_id": study_id, "split": split, "layers": layers}


def preparation_fingerprint(config: PreparationConfig) -> str:
    """Fingerprint of a preparation: settings, method, and the format of the result."""
    return fingerprint({"format": FORMAT, "method": METHOD, "preparation": json.loads(canonical_json(config))})


def scan_file(scan_id: str) -> str:
    """The file of a scan: its id where that is a plain file name, else made plain with a digest at the end."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", scan_id)
    if safe != scan_id or len(safe) > 150 or safe.startswith("."):
        safe = f"{safe.lstrip('.')[:100]}-{hashlib.sha256(scan_id.encode()).hexdigest()[:12]}"
    return f"scans/{safe}.ufs"


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
