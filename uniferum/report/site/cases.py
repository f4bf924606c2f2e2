"""The hardest cases with their images, only with ``--with-volumes``, because they are images of patients.

A case's error is the mean over cells and labels of |target - probability|. Volumes are written as 8-bit grey values in
files beside the page, one a case, read only when the case is opened; so is the viewer, NiiVue.
"""

import base64
import html
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from uniferum.atomic import write_atomically, write_text
from uniferum.data.label_sets import set_of
from uniferum.errors import UniferumError
from uniferum.evaluation.calibration import probability
from uniferum.evaluation.masks import CaseMasks, ModelMasks, Outlined
from uniferum.preprocessing.store.store import Store
from uniferum.report.records import CellRecord

CASES = 12
"""Number of cases of each cohort."""
VOXELS = 2_000_000
WINDOW_HU = (-1000.0, 600.0)
NEEDED = ["cohort", "volume_id", "scan_id", "label", "target", "score"]
NIIVUE = Path(__file__).with_name("vendor") / "niivue.js"
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
    table = pd.concat([record.predictions(NEEDED).assign(cell=record.name) for record in records], ignore_index=True)
    table["error"] = np.abs(table["target"] - probability(table["score"]))
    cases = []
    for cohort in (name for name in dict.fromkeys(table["cohort"]) if set_of(str(name)) is None):
        part = table.loc[table["cohort"] == cohort]
        codes, scans = pd.factorize(part["scan_id"])
        errors = np.bincount(codes, part["error"].to_numpy()) / np.bincount(codes)
        for at in np.argsort(-errors, kind="stable")[:CASES]:
            cases.append(PageCase(str(cohort), str(scans[at]), part.iloc[np.flatnonzero(codes == at)]))
    return cases


def write_cases(folder: Path, pictures: Pictures) -> str:
    """Write the images of the cases and the viewer into ``folder/cases``, and return the HTML of their section.

    Args:
        folder: the folder of the page.
        pictures: the cases, stores and masks.

    Raises:
        UniferumError: there is no store of a cohort that was evaluated.
    """
    lines, tables = [], []
    stores, masks = pictures.stores, pictures.masks
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
        text = html.escape(f"{case.cohort}/{case.scan_id}, mean error {case.error:.3f}")
        lines.append(f'<li data-case="{name}" data-file="cases/{name}.js">{text}</li>')
        tables.append(_predictions(name, case.predictions))
    write_atomically(folder / "cases" / NIIVUE.name, lambda path: _copy(NIIVUE, path))
    said = html.escape(masks.said if masks else NO_MODEL_MASKS)
    boxes = "".join(
        f' <label><input id="{name}" type="checkbox" checked> {text}</label>'
        for name, text in (("mask", "stored mask (filled)"), ("model", "the model's mask (outline)"))
    )
    return (
        f'<p>The {CASES} hardest test cases of each cohort. {said}</p><div id="cases"><ol>{"".join(lines)}</ol>'
        f'<p><b id="case-name"></b>{boxes}</p><ul id="structures"></ul>'
        f'<div id="viewer" class="viewer"></div>{"".join(tables)}</div>'
    )


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


def _predictions(name: str, cases: pd.DataFrame) -> str:
    rows = [_row(row) for row in cases.sort_values("error", ascending=False).to_dict("records")]
    head = "".join(f"<th>{text}</th>" for text in ("Label", "Cell", "Target", "Probability", "Error"))
    return f'<table data-case="{name}" hidden><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _row(row: Mapping[str, object]) -> str:
    chance = float(probability([float(str(row["score"]))])[0])
    texts = (row["label"], row["cell"], f"{row['target']:.0f}", f"{chance:.3f}", f"{row['error']:.3f}")
    return "<tr>" + "".join(f"<td>{html.escape(str(text))}</td>" for text in texts) + "</tr>"
