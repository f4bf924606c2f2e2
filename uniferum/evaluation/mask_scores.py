"""Scores of predicted masks: Dice, sensitivity and volume error by structure, from three counts per mask.

A voxel is predicted where the probability is above 0.5, on the grid of the model's masks. A structure is scored only on
scans that show it in the model's field of view. Invariant: every number is a function of the counts in
``masks.parquet``, so it can be computed again without masks.
MONAI's ``compute_dice`` gives these values in float32 only, takes 4 to 6 times as long and costs 8 s and 0.45 GB of
import in every process (docs/explanation/decisions.md); a test compares the two.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from uniferum.errors import UniferumError
from uniferum.evaluation.mask_words import METRICS

#: Column -> type of ``masks.parquet``: one row per scored scan and structure.
COLUMNS: Mapping[str, str] = {
    "cohort": "str",
    "split": "str",
    "volume_id": "str",
    "scan_id": "str",
    "patient_id": "str",
    "group": "str",
    "structure": "str",
    "target_voxels": "int64",
    "drawn_voxels": "int64",
    "overlap_voxels": "int64",
}


class MaskScores(NamedTuple):
    """``structures``: one row per (cohort, structure); ``cohorts``: one row per cohort, structures equally weighted."""

    structures: pd.DataFrame
    cohorts: pd.DataFrame


def mask_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Build a table with exactly the known columns and types, also without rows."""
    listed = list(rows)
    return pd.DataFrame({name: pd.Series([row[name] for row in listed], dtype=kind) for name, kind in COLUMNS.items()})  # pyright: ignore[reportArgumentType]


def score_masks(masks: pd.DataFrame) -> MaskScores:
    """Average over the scans that have the structure, then over structures.

    Args:
        masks: the columns of ``masks.parquet``.

    Raises:
        UniferumError: a column is missing, a count is impossible, or a mask occurs twice.
    """
    _check(masks)
    measured = masks.assign(**_measured(masks))
    keys = ["cohort", "group", "structure"]
    structures = [_structure(dict(zip(keys, key, strict=True)), part) for key, part in _parts(measured, keys)]
    cohorts: dict[str, list[dict[str, Any]]] = {}
    for row in structures:
        cohorts.setdefault(row["cohort"], []).append(row)
    return MaskScores(pd.DataFrame(structures), pd.DataFrame([_cohort(*one) for one in cohorts.items()]))


def _parts(table: pd.DataFrame, keys: list[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    for key, part in table.groupby(keys, sort=False, observed=True):
        assert isinstance(key, tuple)
        yield tuple(map(str, key)), part


def _structure(facts: Mapping[str, str], part: pd.DataFrame) -> dict[str, Any]:
    counts = {"n_scans": len(part), "n_patients": len(set(part["patient_id"].tolist()))}
    means = {name: float(part[name].to_numpy().mean()) for name in METRICS}
    return {**facts, **counts, "n_drawn": int((part["drawn_voxels"].to_numpy() > 0).sum()), **means}


def _cohort(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {"n_structures": len(rows), "n_empty": sum(not row["n_drawn"] for row in rows)}
    return {"cohort": name, **counts, **{metric: fmean(row[metric] for row in rows) for metric in METRICS}}


def metric_values(scores: MaskScores, stage: str) -> dict[str, float]:
    """Name the numbers for reporters: ``<stage>/dice/CTRATE``, ``<stage>/dice/CTRATE/lungs``, and so on."""
    values: dict[str, float] = {}
    for name in METRICS:
        for row in scores.cohorts.to_dict("records"):
            values[f"{stage}/{name}/{row['cohort']}"] = float(row[name])
        for row in scores.structures.to_dict("records"):
            values[f"{stage}/{name}/{row['cohort']}/{row['structure']}"] = float(row[name])
    return values


def _measured(masks: pd.DataFrame) -> dict[str, np.ndarray]:
    target, drawn, overlap = (
        masks[name].to_numpy(dtype=np.float64) for name in ("target_voxels", "drawn_voxels", "overlap_voxels")
    )
    return {
        "dice": 2 * overlap / (target + drawn),
        "mask_sensitivity": overlap / target,
        "volume_error": np.abs(drawn - target) / target,
    }


def _check(masks: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in masks.columns]
    if missing:
        raise UniferumError("masks: columns", ", ".join(missing), must="be there", cure="evaluate the cell again")
    target, drawn, overlap = (masks[name].to_numpy() for name in ("target_voxels", "drawn_voxels", "overlap_voxels"))
    _refuse(
        masks, (target < 1) | (overlap < 0) | (overlap > target) | (overlap > drawn), "be of two masks that overlap"
    )
    again = masks.duplicated(["cohort", "volume_id", "structure"]).to_numpy()
    _refuse(masks, again, "occur once for a structure")


def _refuse(masks: pd.DataFrame, bad: np.ndarray, must: str) -> None:
    if bad.any():
        row = masks.iloc[int(np.flatnonzero(bad)[0])]
        shown = f"{int(bad.sum())} of {len(masks)}, first: {row['volume_id']}, {row['structure']}"
        raise UniferumError("masks: counts", shown, must=must, cure="evaluate the cell again")
