"""A task is a row: volume, prompt, kind, target (paper 3.3); a table is a data frame of such rows.

Unknown is not negative: only known labels make rows, and nothing here resamples.
"""

import numpy as np
import pandas as pd

# Column -> what stands in it. `target` is NaN on segmentation rows; `ids` are the values of `layer` that make the
# structure; `copy` numbers the repetitions of a repeated task, 0 otherwise.
COLUMNS: dict[str, type] = {
    "task_id": str,
    "cohort": str,
    "volume_id": str,
    "scan_id": str,
    "patient_id": str,
    "split": str,
    "label": str,
    "kind": str,
    "group": str,
    "prompt": str,
    "target": float,
    "layer": str,
    "ids": list,
    "copy": int,
}
KINDS = ("diagnosis", "prognosis", "segmentation")
GROUPS = ("all", "shared", "unique", "organ", "nodule")


def empty_table() -> pd.DataFrame:
    """A table of no rows with all columns."""
    plain = {str: "str", float: np.float64, int: np.int64, list: object}
    return pd.DataFrame({name: pd.Series([], dtype=plain[kind]) for name, kind in COLUMNS.items()})
