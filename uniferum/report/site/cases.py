"""The hardest cases with their images, only with ``--with-volumes``, because they are images of patients.

A case's error is the mean over cells and labels of |target - probability|. It is summed cell by cell, so that the
predictions of one cell are in memory at a time; those of the chosen cases are read in a second pass. Volumes are
written as 8-bit grey values in files beside the page, one a case, read only when the case is opened; so is the viewer,
NiiVue.
"""

import base64
import html
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from uniferum.atomic import write_atomically, write_text
from uniferum.data.label_sets import set_of
from uniferum.errors import UniferumError
from uniferum.evaluation.calibration import probability
from uniferum.evaluation.masks import CaseMasks, ModelMasks, Outlined
from uniferum.preprocessing.store.store import Store
from uniferum.report.records import CellRecord
from uniferum.report.site.parts import embedded

CASES = 12
"""Number of cases of each cohort."""
VOXELS = 2_000_000
WINDOW_HU = (-1000.0, 600.0)
NEEDED = ["cohort", "group", "scan_id", "label", "target", "score"]
HERE = Path(__file__).parent
NIIVUE = HERE / "vendor" / "niivue.js"
NO_MODEL_MASKS = "No mask of a model: no cell that is shown has a checkpoint here."


@dataclass(frozen=True)
class PageCase:
    """One test scan with the predictions of every cell and their errors."""

    cohort: str
    scan_id: str
    predictions: pd.DataFrame

    @property
    def error(self) -> float:
        """Mean of |target - probability|."""
        return float(np.mean(self.predictions["error"].to_numpy()))


@dataclass(frozen=True)
class Pictures:
    """What the page shows of patients: the cases, the prepared stores by cohort, and the masks of a model."""

    cases: Sequence[PageCase]
    stores: Mapping[str, Store]
    masks: ModelMasks | None = None


def hardest(records: Sequence[CellRecord]) -> list[PageCase]:
    """Find the cases of each cohort with the largest errors, largest first.

    Raises:
        UniferumError: the predictions of a cell are unreadable.
    """
    if not records:
        return []
    sums = pd.DataFrame({"sum": pd.Series(dtype=float), "count": pd.Series(dtype=float)})
    cohorts: dict[str, None] = {}
    for record in records:
        table = record.predictions(["cohort", "scan_id", "target", "score"])
        cohorts |= dict.fromkeys(str(name) for name in table["cohort"].unique())
        errors = pd.Series(np.abs(table["target"] - probability(table["score"])))
        of_cell = errors.groupby([table["cohort"].astype(str), table["scan_id"].astype(str)]).agg(["sum", "count"])
        sums = of_cell if sums.empty else sums.add(of_cell, fill_value=0)
    mean = pd.Series(sums["sum"] / sums["count"]).sort_values(ascending=False, kind="stable")
    chosen: list[tuple[str, str]] = []
    for cohort in (name for name in cohorts if set_of(name) is None):
        of_cohort = [(cohort, str(scan)) for at, scan in mean.index.to_list() if at == cohort]
        chosen += of_cohort[:CASES]
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {key: [] for key in chosen}
    for record in records:
        table = record.predictions(NEEDED)
        names = table["cohort"].astype(str) + "/" + table["scan_id"].astype(str)
        rows = table.loc[names.isin([f"{cohort}/{scan}" for cohort, scan in chosen])].assign(cell=record.name)
        rows["error"] = np.abs(rows["target"] - probability(rows["score"]))
        for key, part in rows.groupby([rows["cohort"].astype(str), rows["scan_id"].astype(str)]):
            parts[str(key[0]), str(key[1])].append(part)
    return [PageCase(*key, pd.concat(parts[key], ignore_index=True)) for key in chosen]


def write_cases(folder: Path, pictures: Pictures) -> str:
    """Write the images of the cases and the viewer into ``folder/cases``, and return the HTML of their section.

    Args:
        folder: the folder of the page.
        pictures: the cases, stores and masks.

    Raises:
        UniferumError: there is no store of a cohort that was evaluated.
    """
    written: list[dict[str, Any]] = []
    cells = list(dict.fromkeys(name for case in pictures.cases for name in case.predictions["cell"]))
    labels = list(dict.fromkeys(key for case in pictures.cases for key in _label_keys(case)))
    stores, masks = pictures.stores, pictures.masks
    flags = {name: _flags(store) for name, store in stores.items()}
    for at, case in enumerate(pictures.cases):
        if case.cohort not in stores:
            cure = f"the folder has stores of: {', '.join(sorted(stores)) or 'none'}"
            raise UniferumError(
                "--with-volumes", case.cohort, must="hold the prepared store of every evaluated cohort", cure=cure
            )
        name = f"case-{at:03d}"
        outlined = masks.cases.get((case.cohort, case.scan_id)) if masks else None
        text = case_script(stores[case.cohort], case.cohort, case.scan_id, outlined)
        write_text(folder / "cases" / f"{name}.js", text)
        facts = {"name": f"{case.cohort}/{case.scan_id}", "cohort": case.cohort, "error": round(case.error, 4)}
        facts |= {"file": f"cases/{name}.js", "flags": flags[case.cohort].get(case.scan_id, [])}
        written.append(facts | {"labels": _chances(case, cells, labels)})
    write_atomically(folder / "cases" / NIIVUE.name, lambda path: _copy(NIIVUE, path))
    said = html.escape(masks.said if masks else NO_MODEL_MASKS)
    boxes = "".join(
        f' <label><input id="{name}" type="checkbox" checked> {text}</label>'
        for name, text in (("mask", "stored mask (filled)"), ("model", "the model's mask (outline)"))
    )
    content = {"cells": cells, "labels": [list(key) for key in labels], "cases": written}
    choices = (HERE / "cases.html").read_text(encoding="utf-8")
    return (
        f"<p>The {CASES} test cases of each cohort with the largest mean error over all cells and labels. {said}</p>"
        f'{embedded("case-numbers", content)}<div id="cases">{choices}'
        f'<p><b id="case-name"></b>{boxes}</p><p id="case-flags"></p><ul id="structures"></ul>'
        f'<div id="viewer" class="viewer"></div><div id="case-predictions"></div></div>'
    )


def _label_keys(case: PageCase) -> list[tuple[str, str, str]]:
    keys = case.predictions[["cohort", "group", "label"]].astype(str).drop_duplicates()
    return [(str(a), str(b), str(c)) for a, b, c in keys.itertuples(index=False)]


def _flags(store: Store) -> dict[str, list[str]]:
    """The flags of each scan of a store; empty for scans without."""
    table = store.manifest()
    if "flags" not in table.columns:
        return {}
    return {
        str(scan): [str(one) for one in flags]
        for scan, flags in zip(table["scan_id"], table["flags"], strict=True)
        if flags is not None and len(flags)
    }


def _chances(
    case: PageCase, cells: Sequence[str], labels: Sequence[tuple[str, str, str]]
) -> dict[int, tuple[int, list[int | None]]]:
    """Of each known label its target and the probability of each cell, in thousandths."""
    at_cell, at_label = ({name: at for at, name in enumerate(names)} for names in (cells, labels))
    made: dict[int, tuple[int, list[int | None]]] = {}
    table = case.predictions
    facts = (table[name].astype(str) for name in ("cohort", "group", "label", "cell"))
    for *key, cell, target, chance in zip(*facts, table["target"], probability(table["score"]), strict=True):
        label = at_label[key[0], key[1], key[2]]
        line = made.setdefault(label, (int(target), [None] * len(cells)))
        line[1][at_cell[cell]] = round(float(chance) * 1000)
    return made


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def open_stores(root: Path) -> dict[str, Store]:
    """Open every prepared store directly below a folder, by the name of its cohort."""
    opened = [Store.open(path.parent) for path in sorted(root.glob("*/store.json"))]
    return {store.name: store for store in opened}


def case_script(store: Store, cohort: str, scan_id: str, masks: CaseMasks | None = None) -> str:
    """Make the script with the data of one case: grey values and mask ids as base64, x fastest."""
    hu = store.read(scan_id, "train")
    step = max(1, int(np.ceil((hu.size / VOXELS) ** (1 / 3))))
    low, high = WINDOW_HU
    grey = np.clip((_thinned(hu, step).astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    affine = store.affine(scan_id, "train") @ np.diag([step, step, step, 1])
    layer = masks.layer if masks else next(iter(store.layers(scan_id)), None)
    mask = store.read_mask(scan_id, layer, "train") if layer else None
    if mask is not None and masks is not None:
        mask = masks.like(mask)
    content = {
        "name": f"{cohort}/{scan_id}",
        "shape": list(grey.shape),
        "size": np.linalg.norm(affine[:3, :3], axis=0).tolist(),
        "affine": affine.tolist(),
        "window": WINDOW_HU,
        "volume": _base64(grey),
        "mask": None if mask is None else _base64(_thinned(mask, step)),
        "model": None if masks is None else _base64(_thinned(masks.mask, step)),
        "structures": [_structure(one) for one in (masks.structures if masks else ())],
    }
    return f"window.showCase({json.dumps(content, allow_nan=False)});\n"


def _structure(one: Outlined) -> dict[str, object]:
    return {"name": one.name, "value": one.value, "dice": f"{one.dice:.3f}" if np.isfinite(one.dice) else "n/a"}


def _thinned(array: np.ndarray, step: int) -> np.ndarray:
    return array[::step, ::step, ::step]


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes(order="F")).decode()
