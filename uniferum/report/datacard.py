"""The data card of prepared stores: counts by cohort, split and label, and leakage between splits.

Leakage is a patient or a study in two splits, or the same volume twice, by the checksum of its content. Volumes are
compared across cohorts too.
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
"""Number of scans of each cohort in the histogram of HU."""


@dataclass(frozen=True)
class Leak:
    """One kind of leakage: what is duplicated, where, how often, and the first few names."""

    kind: str
    where: str
    count: int
    first: tuple[str, ...]


def read_stores(root: Path) -> dict[str, Store]:
    """Open the prepared stores in a folder, by cohort; the folder itself may be a store.

    Raises:
        UniferumError: the folder holds no store.
    """
    folders = [root] if (root / "store.json").exists() else [p.parent for p in sorted(root.glob("*/store.json"))]
    if not folders:
        raise UniferumError(str(root), must="hold a prepared store", cure="prepare one: uniferum data prepare")
    return {store.name: store for store in map(Store.open, folders)}


def of_phantoms(stores: Mapping[str, Store]) -> bool:
    """Whether the scans of any split are phantoms, as the store of the cohort records.

    Raises:
        UniferumError: the splits.json of a store is damaged.
    """
    words = (read_words(store.splits(), source=f"{store.url}/splits.json") for store in stores.values())
    return any(word.phantoms for of_store in words for word in of_store.values())


def manifest_of(stores: Mapping[str, Store]) -> pd.DataFrame:
    """Concatenate all manifests into one table, with a column ``cohort``."""
    return pd.concat([store.manifest().assign(cohort=name) for name, store in stores.items()], ignore_index=True)


def leaks(manifest: pd.DataFrame) -> list[Leak]:
    """Find patients and studies in several splits of a cohort, and volumes whose content occurs twice."""
    shared: list[Leak] = []
    for cohort in dict.fromkeys(manifest["cohort"]):
        part = manifest.loc[manifest["cohort"] == cohort]
        for kind, column in (("patient in several splits", "patient_id"), ("study in several splits", "study_id")):
            pairs = part[[column, "split"]].drop_duplicates()
            twice = sorted(map(str, pairs.loc[pairs.duplicated(column), column].unique()))
            if twice:
                shared.append(Leak(kind, str(cohort), len(twice), tuple(twice[:NAMED])))
    return shared + _duplicates(manifest)


def _duplicates(manifest: pd.DataFrame) -> list[Leak]:
    by_checksum: dict[str, dict[str, list[str]]] = {}
    for cohort, split, scan, checksum in zip(
        *(manifest[name].tolist() for name in ("cohort", "split", "scan_id", "checksum")), strict=True
    ):
        by_checksum.setdefault(str(checksum), {}).setdefault(f"{cohort} {split}", []).append(str(scan))
    groups: dict[str, list[str]] = {}
    for by_split_name in by_checksum.values():
        scans = [scan for part in by_split_name.values() for scan in part]
        if len(scans) > 1:
            groups.setdefault(" and ".join(sorted(by_split_name)), []).append(" = ".join(scans))
    return [Leak("volume twice", where, len(same), tuple(same[:NAMED])) for where, same in sorted(groups.items())]


def sheets(stores: Mapping[str, Store]) -> list[Sheet]:
    """Make the tables of the data card: scans, labels and quality flags by split, and leakage."""
    manifest = manifest_of(stores)
    return [_scans(manifest), _labels(stores), flag_sheet(manifest), leak_sheet(leaks(manifest))]


def flag_sheet(manifest: pd.DataFrame) -> Sheet:
    """Make the table of quality flags: number and share of scans by split, and the first three scans."""
    rows = []
    for cohort in dict.fromkeys(manifest["cohort"]):
        counts = by_split(manifest.loc[manifest["cohort"] == cohort], SPLITS)
        for row in split_rows(counts):
            shown = dict(zip(split_columns(counts), row, strict=True))
            rows.append([str(cohort), *(shown.get(name, "-") for name in ("flag", "meaning", "first ones", *SPLITS))])
    headings = ["Cohort", "Flag", "Meaning", "First ones", *SPLITS]
    return Sheet("Quality flags: scans (share of the split)", headings, rows, [] if rows else [f"{NO_FLAGS}."], words=4)


def leak_sheet(shared: Sequence[Leak]) -> Sheet:
    """Make the table of leakage."""
    rows = [[one.kind, one.where, str(one.count), ", ".join(one.first)] for one in shared]
    said = [] if shared else ["No patient or study is in two splits, and no volume occurs twice."]
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
    """Draw histograms of the original spacing and of the prepared HU, one line for each cohort."""
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
    """Draw PNG images of ``count`` scans of each cohort, evenly spread over its manifest.

    Each shows five slices in each plane, with the edges of the first mask layer in red. They are images of patients.
    """
    images: dict[str, bytes] = {}
    for cohort, store in stores.items():
        for scan_id in _spread(store, count):
            layer = next(iter(store.layers(scan_id)), None)
            mask = store.read_mask(scan_id, layer, "train") if layer else None
            x, y, z = np.linalg.norm(store.affine(scan_id, "train")[:3, :3], axis=0).tolist()
            content = io.BytesIO()
            imsave(content, montage(store.read(scan_id, "train"), (x, y, z), mask), format="png")
            images[f"montage-{cohort}-{Path(scan_file(scan_id)).stem}"] = content.getvalue()
    return images


def _spread(store: Store, count: int) -> list[str]:
    scans = store.manifest()["scan_id"].tolist()
    return scans[:: max(1, len(scans) // max(count, 1))][:count]


def _hu_histogram(store: Store) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(-1024, 1024, 65)
    chosen = _spread(store, HU_SCANS)
    counts = sum((np.histogram(store.read(scan, "train"), edges)[0] for scan in chosen), np.zeros(64, np.int64))
    return counts, edges
