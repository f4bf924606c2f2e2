"""The unit of a score: each volume, each scan, or each patient as one case.

The volumes of a unit are pooled: their logits are averaged, and the unit is positive if any of them is.
"""

from typing import Literal, get_args

import numpy as np
import pandas as pd

from uniferum.errors import UniferumError, near_miss

Unit = Literal["volume", "scan", "patient"]
UNITS: tuple[str, ...] = get_args(Unit)
COLUMNS = {"scan": "study_id", "patient": "patient_id"}
"""The column that names each unit: a scan is a study, whose volumes are reconstructions of it."""
POOLING = "logits averaged over its volumes, positive if any of them is"


def check_unit(unit: str) -> None:
    """Check the name of a unit.

    Raises:
        UniferumError: it is unknown.
    """
    if unit not in UNITS:
        raise UniferumError("--unit", unit, must="be volume, scan or patient", cure=near_miss(unit, UNITS))


def pooled(table: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Pool the predictions of the volumes of each scan or patient; ``volume_id`` then is that of the unit.

    Args:
        table: predictions, one row for each volume and label.
        unit: ``volume`` (as they are), ``scan`` or ``patient``.

    Raises:
        UniferumError: the unit is unknown, the predictions do not record it, or a study belongs to several patients.
    """
    check_unit(unit)
    if unit == "volume":
        return table
    named = COLUMNS[unit]
    if named not in table.columns:
        cure = "evaluate the cell again, or report by volume"
        raise UniferumError("predictions: column", named, must=f"be there for --unit {unit}", cure=cure)
    _check_ids(table, named)
    facts = ["cohort", "group", "label", "volume_id"]
    kept = {column: "first" for column in table.columns if column not in (*facts, "target", "score")}
    keyed = table.assign(volume_id=table[named].astype(str))
    grouped = keyed.groupby(facts, sort=False, observed=True, as_index=False)
    return pd.DataFrame(grouped.agg(kept | {"target": "max", "score": "mean"})).loc[:, list(table.columns)]


def _check_ids(table: pd.DataFrame, named: str) -> None:
    """Refuse volumes without a unit, which would become one case, and a study id that two patients share."""
    ids = table[named].astype(str).to_numpy()
    without = int(np.count_nonzero(table[named].isna().to_numpy() | (ids == "")))
    if without:
        raise UniferumError(f"predictions: {named}", f"{without} empty", must="name every case", cure=_BY_VOLUME)
    if named == "patient_id":
        return
    owners = table.drop_duplicates(["cohort", named, "patient_id"])
    shared = owners.loc[owners.duplicated(["cohort", named]).to_numpy(), named].tolist()
    if shared:
        first = shared[0]
        raise UniferumError(f"predictions: {named}", first, must="be of one patient", cure=_BY_VOLUME)


_BY_VOLUME = "report by volume"
