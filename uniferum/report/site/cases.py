"""Cases with their images, hardest first: only where a person asked for it, for these are patients.

A case's error is the mean over cells and labels of |target - probability|. Volumes are written as 8-bit grey values in
files beside the page, one a case, read only when the case is opened.
"""

import base64
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from uniferum.errors import UniferumError
from uniferum.evaluation.calibration import probability
from uniferum.evaluation.files import write_text
from uniferum.preprocessing.store import Store
from uniferum.report.records import CellRecord

CASES = 12
"""Cases of each cohort."""
VOXELS = 2_000_000
WINDOW_HU = (-1000.0, 600.0)
NEEDED = ["cohort", "volume_id", "scan_id", "label", "target", "score"]


def write_cases(folder: Path, records: Sequence[CellRecord], stores: Path) -> str:
    """Write the hardest cases' images into ``folder/cases`` and return the section that browses them.

    Raises:
        UniferumError: there is no store of a cohort that was evaluated below ``stores``.
    """
    table = pd.concat([record.predictions(NEEDED).assign(cell=record.name) for record in records], ignore_index=True)
    table["error"] = np.abs(table["target"] - probability(table["score"]))
    found = open_stores(stores)
    lines, tables = [], []
    for at, (cohort, scan_id, cases) in enumerate(_hardest(table)):
        if cohort not in found:
            cure = f"stores there: {', '.join(sorted(found)) or 'none'}"
            raise UniferumError(
                str(stores), cohort, must="hold the prepared store of every evaluated cohort", cure=cure
            )
        name = f"case-{at:03d}"
        write_text(folder / "cases" / f"{name}.js", case_script(found[cohort], cohort, scan_id))
        error = float(np.mean(cases["error"].to_numpy()))
        text = html.escape(f"{cohort}/{scan_id}, mean error {error:.3f}")
        lines.append(f'<li data-case="{name}" data-file="cases/{name}.js">{text}</li>')
        tables.append(_predictions(name, cases))
    return (
        f"<p>The {CASES} hardest test cases of each cohort. Masks are those of the store; cells keep no masks of their "
        'own, so the model\'s mask is not shown.</p><div id="cases"><ol>' + "".join(lines) + "</ol>"
        '<p><b id="case-name"></b> <label><input id="mask" type="checkbox" checked> mask</label></p>'
        f'<div id="viewer" class="viewer"></div>{"".join(tables)}</div>'
    )


def open_stores(root: Path) -> dict[str, Store]:
    """Every prepared store directly below a folder, by its cohort's name."""
    opened = [Store.open(path.parent) for path in sorted(root.glob("*/store.json"))]
    return {store.name: store for store in opened}


def case_script(store: Store, cohort: str, scan_id: str) -> str:
    """A script that hands one case to the page: grey values and mask ids, x fastest, as base64."""
    hu = store.read(scan_id, "train")
    step = max(1, int(np.ceil((hu.size / VOXELS) ** (1 / 3))))
    low, high = WINDOW_HU
    grey = np.clip((hu[::step, ::step, ::step].astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    spacing = np.linalg.norm(store.affine(scan_id, "train")[:3, :3], axis=0) * step
    sides = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}
    layer = next(iter(store.layers(scan_id)), None)
    mask = store.read_mask(scan_id, layer, "train")[::step, ::step, ::step] if layer else None
    found = {
        "name": f"{cohort}/{scan_id}",
        "shape": list(grey.shape),
        "spacing": {name: [float(spacing[a]), float(spacing[b])] for name, (a, b) in sides.items()},
        "volume": _base64(grey),
        "mask": None if mask is None else _base64(mask),
    }
    return f"window.showCase({json.dumps(found)});\n"


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.asfortranarray(array).tobytes(order="F")).decode()


def _hardest(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    for cohort in dict.fromkeys(table["cohort"]):
        part = table.loc[table["cohort"] == cohort]
        codes, scans = pd.factorize(part["scan_id"])
        errors = np.bincount(codes, part["error"].to_numpy()) / np.bincount(codes)
        for at in np.argsort(-errors, kind="stable")[:CASES]:
            yield str(cohort), str(scans[at]), part.iloc[np.flatnonzero(codes == at)]


def _predictions(name: str, cases: pd.DataFrame) -> str:
    rows = [_row(row) for row in cases.sort_values("error", ascending=False).to_dict("records")]
    head = "".join(f"<th>{text}</th>" for text in ("Label", "Cell", "Target", "Probability", "Error"))
    return f'<table data-case="{name}" hidden><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _row(row: Mapping[str, object]) -> str:
    chance = float(probability([float(str(row["score"]))])[0])
    texts = (row["label"], row["cell"], f"{row['target']:.0f}", f"{chance:.3f}", f"{row['error']:.3f}")
    return "<tr>" + "".join(f"<td>{html.escape(str(text))}</td>" for text in texts) + "</tr>"
