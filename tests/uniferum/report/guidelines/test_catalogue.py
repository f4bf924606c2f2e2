"""Tables of reporting guidelines from cells that were written by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import f1_score, roc_curve

from uniferum.errors import UniferumError
from uniferum.report.guidelines.catalogue import NAMES, GuidelineOptions, guideline_sheet
from uniferum.report.guidelines.subgroups import _common_labels
from uniferum.report.read_records import from_folders
from uniferum.report.tables.rendering import render_sheet

ONLY = {"cohort": "CTRATE"}
DEFAULT = GuidelineOptions()


def rows(root: Path, name: str, options: GuidelineOptions = DEFAULT) -> list[dict[str, str]]:
    sheet = guideline_sheet(name, from_folders(root), {}, ONLY, options, kind="json")
    return json.loads(render_sheet(sheet, "json"))["rows"]


def with_validation(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give a cell validation predictions: the test cases with other scores."""
    tested = pd.read_parquet(folder / "predictions.parquet")
    validation = tested.assign(split="validation", score=tested["score"] * 0.5 + 0.2)
    validation.to_parquet(folder / "validation_predictions.parquet")
    return tested, validation


def test_without_validation_predictions_no_threshold_is_chosen(cells: Callable[..., Path], tmp_path: Path) -> None:
    cells("CTRATE")
    made = rows(tmp_path, "operating-points-labels")
    assert {row["Threshold"] for row in made} == {"no validation predictions: re-score"}
    assert {row["F1"] for row in made} == {""}


def test_thresholds_of_validation_are_applied_to_test(cells: Callable[..., Path], tmp_path: Path) -> None:
    tested, validation = with_validation(cells("CTRATE"))
    for row in rows(tmp_path, "operating-points-labels"):
        of_label = [t[(t["cohort"] == "CTRATE") & (t["label"] == row["Label"])] for t in (tested, validation)]
        false, true, thresholds = roc_curve(of_label[1]["target"], of_label[1]["score"], drop_intermediate=False)
        chosen = thresholds[(true - false).argmax()]
        expected = f1_score(of_label[0]["target"], of_label[0]["score"] >= chosen)
        assert float(row["F1"]) == pytest.approx(expected, abs=1e-12)
        assert float(row["F1 low"]) <= expected <= float(row["F1 high"])


def test_small_subgroups_are_suppressed(cells: Callable[..., Path], tmp_path: Path) -> None:
    cells("CTRATE")
    sexes = ["F"] * 14 + ["M"] * 5 + [""]
    lines = [f"CTRATE-p{at},{sex},0{20 + at}Y" for at, sex in enumerate(sexes)]
    table = tmp_path / "people.csv"
    table.write_text("\n".join(["patient_id,PatientSex,PatientAge", *lines]))
    options = GuidelineOptions(metadata=[f"CTRATE={table}"], smallest=6, by="sex")
    made = {row["Class"]: (row["Patients"], row["Cases"]) for row in rows(tmp_path, "subgroups", options)}
    assert made == {"F": ("14", "28"), "M": ("<6", "suppressed"), "unknown": ("<6", "suppressed")}


def test_a_label_of_a_subgroup_needs_patients_and_not_volumes() -> None:
    patients = [f"p{at}" for at in range(8)]
    few = [f"{'ab'[at % 2]}" for at in range(12)]
    of_label = {"many": [*patients, *few], "one patient": [*["a"] * 8, *few]}
    tables = [
        pd.DataFrame({"label": label, "patient_id": ids, "target": [1.0] * 8 + [0.0] * 12})
        for label, ids in of_label.items()
    ]
    negatives = pd.DataFrame({"label": ["many", "one patient"] * 5, "patient_id": [f"n{at}" for at in range(10)]})
    part = pd.concat([*tables, negatives.assign(target=0.0)])
    assert _common_labels([part]) == ["many"], "eight positive volumes of one patient are one positive patient"


@pytest.mark.parametrize("name", NAMES)
def test_every_table_is_printed(name: str, cells: Callable[..., Path], tmp_path: Path) -> None:
    with_validation(cells("CTRATE"))
    assert guideline_sheet(name, from_folders(tmp_path), {}, ONLY, GuidelineOptions(), intervals=True).below


@pytest.mark.parametrize("options", [GuidelineOptions(probabilities="2"), GuidelineOptions(probabilities="high")])
def test_a_wrong_probability_is_refused(options: GuidelineOptions, cells: Callable[..., Path], tmp_path: Path) -> None:
    cells("CTRATE")
    with pytest.raises(UniferumError, match="--probabilities"):
        rows(tmp_path, "decision", options)
