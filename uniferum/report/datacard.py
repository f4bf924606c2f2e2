"""The data before a GPU-hour is spent: counts by cohort, split and label, and what leaks between splits.

Read from prepared stores. A patient or a study in two splits, or the same volume (by the checksum of its content)
twice, is leakage; volumes are compared across cohorts too.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imsave

from uniferum.data.flag_counts import NO_FLAGS, by_split, split_columns, split_rows
from uniferum.data.provenance import read_words
from uniferum.errors import UniferumError
from uniferum.preprocessing.montage import montage
from uniferum.preprocessing.store.store import Store, scan_file
from uniferum.report.figures.style import footnote, new_figure, series
from uniferum.report.tables.sheet import Sheet

SPLITS = ("train", "validation", "test")
NAMED = 3
HU_SCANS = 16
"""Scans of each cohort whose voxels make the histogram."""


@dataclass(frozen=True)
class Leak:
    """Something that stands in two places: what, where, how often, and the first few."""

    kind: str
    where: str
    count: int
    first: tuple[str, ...]


def read_stores(root: Path) -> dict[str, Store]:
    """The prepared stores in a folder, by cohort; or the one store that the folder is.

    Raises:
        UniferumError: there is none.
    """
    places = [root] if (root / "store.json").exists() else [p.parent for p in sorted(root.glob("*/store.json"))]
    if not places:
        raise UniferumError(str(root), must="hold a prepared store", cure="prepare one: uniferum data prepare")
    return {store.name: store for store in map(Store.open, places)}


def of_phantoms(stores: Mapping[str, Store]) -> bool:
    """Whether a cohort says of a split that its scans are phantoms.

    Raises:
        UniferumError: the words of a store are damaged.
    """
    words = (read_words(store.splits(), source=f"{store.url}/splits.json") for store in stores.values())
    return any(word.phantoms for of_store in words for word in of_store.values())


def manifest_of(stores: Mapping[str, Store]) -> pd.DataFrame:
    """All manifests in one table, with a column ``cohort``."""
    return pd.concat([store.manifest().assign(cohort=name) for name, store in stores.items()], ignore_index=True)


def leaks(manifest: pd.DataFrame) -> list[Leak]:
    """Patients and studies in several splits of a cohort, and volumes whose content occurs twice anywhere."""
    found: list[Leak] = []
    for cohort in dict.fromkeys(manifest["cohort"]):
        part = manifest.loc[manifest["cohort"] == cohort]
        for kind, column in (("patient in several splits", "patient_id"), ("study in several splits", "study_id")):
            pairs = part[[column, "split"]].drop_duplicates()
            twice = sorted(map(str, pairs.loc[pairs.duplicated(column), column].unique()))
            if twice:
                found.append(Leak(kind, str(cohort), len(twice), tuple(twice[:NAMED])))
    return found + _duplicates(manifest)


def _duplicates(manifest: pd.DataFrame) -> list[Leak]:
    places: dict[str, dict[str, list[str]]] = {}
    for cohort, split, scan, checksum in zip(
        *(manifest[name].tolist() for name in ("cohort", "split", "scan_id", "checksum")), strict=True
    ):
        places.setdefault(str(checksum), {}).setdefault(f"{cohort} {split}", []).append(str(scan))
    groups: dict[str, list[str]] = {}
    for by_place in places.values():
        scans = [scan for found in by_place.values() for scan in found]
        if len(scans) > 1:
            groups.setdefault(" and ".join(sorted(by_place)), []).append(" = ".join(scans))
    return [Leak("volume twice", where, len(same), tuple(same[:NAMED])) for where, same in sorted(groups.items())]


def sheets(stores: Mapping[str, Store]) -> list[Sheet]:
    """Scans by split, labels by split, quality flags by split, leakage."""
    manifest = manifest_of(stores)
    return [_scans(manifest), _labels(stores), flag_sheet(manifest), leak_sheet(leaks(manifest))]


def flag_sheet(manifest: pd.DataFrame) -> Sheet:
    """How many scans of each split carry each flag, their share, and the first three of the cohort's."""
    rows = []
    for cohort in dict.fromkeys(manifest["cohort"]):
        counts = by_split(manifest.loc[manifest["cohort"] == cohort], SPLITS)
        for row in split_rows(counts):
            shown = dict(zip(split_columns(counts), row, strict=True))
            rows.append([str(cohort), *(shown.get(name, "-") for name in ("flag", "meaning", "first ones", *SPLITS))])
    headings = ["Cohort", "Flag", "Meaning", "First ones", *SPLITS]
    return Sheet("Quality flags: scans (share of the split)", headings, rows, [] if rows else [f"{NO_FLAGS}."], words=4)


def leak_sheet(found: Sequence[Leak]) -> Sheet:
    """Leakage as people read it."""
    rows = [[one.kind, one.where, str(one.count), ", ".join(one.first)] for one in found]
    said = [] if found else ["No patient or study stands in two splits, and no volume occurs twice."]
    return Sheet("Leakage", ["What", "Where", "Count", "First ones"], rows, said, words=2)


def _scans(manifest: pd.DataFrame) -> Sheet:
    rows = []
    for cohort in dict.fromkeys(manifest["cohort"]):
        for split in SPLITS:
            part = manifest.loc[(manifest["cohort"] == cohort) & (manifest["split"] == split)]
            if len(part):
                spacing = np.stack([np.asarray(one, float) for one in part["spacing_raw_mm"]])
                low, high = spacing.min(axis=0), spacing.max(axis=0)
                ranges = " x ".join(f"{a:.2f}-{b:.2f}" for a, b in zip(low, high, strict=True))
                flagged = sum(len(flags) > 0 for flags in part["flags"])
                rows.append(
                    [str(cohort), split, str(len(part)), str(len(part["patient_id"].unique())), str(flagged), ranges]
                )
    headings = ["Cohort", "Split", "Scans", "Patients", "Flagged", "Spacing as delivered, mm"]
    return Sheet("Scans", headings, rows, words=2)


def _labels(stores: Mapping[str, Store]) -> Sheet:
    rows = []
    for name, store in stores.items():
        table = store.labels().merge(store.manifest()[["scan_id", "split"]], on="scan_id")
        for label in dict.fromkeys(table["label"]):
            part = table.loc[table["label"] == label]
            rows.append([name, str(label), *(_count(part.loc[part["split"] == split, "value"]) for split in SPLITS)])
    return Sheet("Labels: positive / known", ["Cohort", "Label", *SPLITS], rows, words=2)


def _count(values: pd.Series) -> str:
    known = values.to_numpy(dtype=float)
    return f"{int(known.sum())} / {len(known)}" if len(known) else "-"


def figures(stores: Mapping[str, Store]) -> dict[str, Figure]:
    """Histograms of the delivered spacing and of the prepared HU, one line a cohort."""
    manifest = manifest_of(stores)
    spacing = new_figure(8, 2.8)
    for at, axes in enumerate(spacing.subplots(1, 3, sharey=True)):
        for line, cohort in enumerate(stores):
            part = manifest.loc[manifest["cohort"] == cohort, "spacing_raw_mm"]
            values, look = [float(one[at]) for one in part], series(line)
            axes.hist(values, bins=30, histtype="step", color=look.colour, linestyle=look.line, label=cohort)
        axes.set_xlabel(f"{'xyz'[at]} spacing, mm")
    spacing.axes[0].legend(frameon=False, fontsize=6)
    hu = new_figure(6, 3.2)
    axes = hu.add_subplot()
    for line, (cohort, store) in enumerate(stores.items()):
        counts, edges = _hu_histogram(store)
        look = series(line)
        axes.step(edges[:-1], counts / max(counts.sum(), 1), color=look.colour, linestyle=look.line, label=cohort)
    axes.set(xlabel="HU", ylabel="share of voxels", yscale="log")
    axes.legend(frameon=False, fontsize=6)
    footnote(hu, [f"Prepared volumes of up to {HU_SCANS} scans of each cohort, evenly spread over its manifest."])
    return {"data-spacing": spacing, "data-hu": hu}


def montages(stores: Mapping[str, Store], count: int) -> dict[str, bytes]:
    """Pictures of single patients, as PNG: ``count`` scans of each cohort, evenly spread over its manifest.

    Five slices in each plane, the edges of the first mask layer in red.
    """
    found: dict[str, bytes] = {}
    for cohort, store in stores.items():
        for scan_id in _spread(store, count):
            layer = next(iter(store.layers(scan_id)), None)
            mask = store.read_mask(scan_id, layer, "train") if layer else None
            x, y, z = np.linalg.norm(store.affine(scan_id, "train")[:3, :3], axis=0).tolist()
            content = io.BytesIO()
            imsave(content, montage(store.read(scan_id, "train"), (x, y, z), mask), format="png")
            found[f"montage-{cohort}-{Path(scan_file(scan_id)).stem}"] = content.getvalue()
    return found


def _spread(store: Store, count: int) -> list[str]:
    scans = store.manifest()["scan_id"].tolist()
    return scans[:: max(1, len(scans) // max(count, 1))][:count]


def _hu_histogram(store: Store) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(-1024, 1024, 65)
    chosen = _spread(store, HU_SCANS)
    counts = sum((np.histogram(store.read(scan, "train"), edges)[0] for scan in chosen), np.zeros(64, np.int64))
    return counts, edges
