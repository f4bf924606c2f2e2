"""Names and meanings of the mask scores, and a note on a cell's masks; needs only ``result.json``, no table."""

from collections.abc import Mapping, Sequence
from typing import Any

METRICS: Mapping[str, str] = {
    "dice": "Dice of the coarse masks",
    "mask_sensitivity": "Sensitivity of the coarse masks",
    "volume_error": "Volume error of the coarse masks",
}
MEANINGS: Mapping[str, str] = {
    "dice": "twice the overlap over the sum of both sizes",
    "mask_sensitivity": "the share of the structure that is drawn",
    "volume_error": "the difference of both volumes over the structure's, without its sign; 1 where nothing is drawn",
}


def mask_note(summary: Sequence[Mapping[str, Any]] | None) -> str:
    """Describe problems of a cell's masks, from ``masks`` of its ``result.json``.

    Empty if the cell predicts every structure, or was trained without masks.
    """
    if not summary:
        return ""
    scored = [row for row in summary if row.get("n_structures")]
    if not scored:
        return str(summary[0].get("reason") or "no mask was scored")
    empty = {str(row["cohort"]): (int(row.get("n_empty") or 0), int(row["n_structures"])) for row in scored}
    if all(none == total for none, total in empty.values()):
        return f"masks stay empty: nothing is drawn on {', '.join(empty)}"
    said = [f"{none} of {total} structures on {cohort}" for cohort, (none, total) in empty.items() if none]
    return f"masks stay empty for {', '.join(said)}" if said else ""
