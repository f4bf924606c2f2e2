"""Volumes pooled to scans and patients."""

import pandas as pd
import pytest

from uniferum.errors import UniferumError
from uniferum.evaluation.units import pooled

TABLE = pd.DataFrame(
    {
        "cohort": "CTRATE",
        "group": "all",
        "label": ["a", "a", "a", "a", "b"],
        "volume_id": ["v1", "v2", "v3", "w1", "v1"],
        "study_id": ["s1", "s1", "s2", "t1", "s1"],
        "patient_id": ["p", "p", "p", "q", "p"],
        "target": [0.0, 0.0, 1.0, 0.0, 1.0],
        "score": [1.0, 3.0, 5.0, -1.0, 7.0],
    }
)


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [
        ("volume", [("v1", 0, 1), ("v2", 0, 3), ("v3", 1, 5), ("w1", 0, -1), ("v1", 1, 7)]),
        ("scan", [("s1", 0, 2), ("s2", 1, 5), ("t1", 0, -1), ("s1", 1, 7)]),
        ("patient", [("p", 1, 3), ("q", 0, -1), ("p", 1, 7)]),
    ],
)
def test_logits_are_averaged_and_one_positive_volume_makes_the_unit_positive(unit: str, wanted: list) -> None:
    made = pooled(TABLE, unit)
    assert list(zip(made["volume_id"], made["target"], made["score"], strict=True)) == wanted
    assert list(made.columns) == list(TABLE.columns)


def test_an_unknown_unit_and_one_that_is_not_recorded_are_refused() -> None:
    with pytest.raises(UniferumError, match="volume, scan or patient"):
        pooled(TABLE, "patients")
    with pytest.raises(UniferumError, match="study_id"):
        pooled(TABLE.drop(columns="study_id"), "scan")


@pytest.mark.parametrize(("unit", "column"), [("scan", "study_id"), ("patient", "patient_id")])
@pytest.mark.parametrize("empty", ["", None])
def test_volumes_without_a_unit_are_not_pooled_to_one_case(unit: str, column: str, empty: str | None) -> None:
    table = TABLE.copy()
    table.loc[[0, 3], column] = empty
    with pytest.raises(UniferumError, match=rf"{column} \(2 empty\)"):
        pooled(table, unit)


def test_a_study_of_two_patients_is_refused_and_of_two_cohorts_is_two_cases() -> None:
    with pytest.raises(UniferumError, match=r"study_id \(s2\) must be of one patient"):
        pooled(TABLE.assign(study_id=["s1", "s1", "s2", "s2", "s1"]), "scan")
    both = pd.concat([TABLE, TABLE.assign(cohort="INSPECT", patient_id="r")])
    assert len(pooled(both, "scan")) == 2 * len(pooled(TABLE, "scan"))
