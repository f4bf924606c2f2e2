"""A plan counts the rows of its cells, and refuses cells whose masks are missing."""

import shutil
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import main
from orchestration.grid.cells import expand
from orchestration.grid.config import GridConfig
from orchestration.grid.data_plan import DataPlan
from orchestration.grid.plan import make_plan
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState
from tests.support.small_stores import SMALL, organs, write_store
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.sampling import training_table
from uniferum.errors import UniferumError

SPLITS = ("train",) * 6 + ("validation",) * 2 + ("test",) * 2
EMBOLISM = [0, 1, 0, 1, 1, 1, 0, 1, 0, 1]


def _store(root: Path, name: str, masked: Collection[int], splits: tuple[str, ...] = SPLITS) -> Path:
    labels = {"INSPECT": {"pulmonary_embolism": EMBOLISM}, "CTRATE": {"emphysema": EMBOLISM, "atelectasis": EMBOLISM}}
    masks = {"totalsegmentator": {number: organs(number) for number in masked}}
    write_store(root / name.lower(), name, splits, {k: v[: len(splits)] for k, v in labels[name].items()}, masks=masks)
    return root / name.lower()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """CT-RATE with all its masks; INSPECT with none (a), of one scan (b) and of all (c), without report labels."""
    root = tmp_path_factory.mktemp("stores")
    kinds = {"a": (), "b": (0,), "c": range(10)}
    made = {kind: _store(root / kind, "INSPECT", masked) for kind, masked in kinds.items()}
    return {"CTRATE": _store(root, "CTRATE", range(10)), **made}


def _grid(root: Path, stores: dict[str, Path], inspect: str, mixes: Collection[str], **sampling: Any) -> GridConfig:
    return GridConfig.model_validate(
        {
            "name": "g",
            "root": root / "runs",
            "stores": {"CTRATE": stores["CTRATE"], "INSPECT": stores.get(inspect, root / "absent")},
            "evaluate_on": ["CTRATE", "INSPECT"],
            "text_encoders": {"small": {"name": "tiny"}},
            "cells": [{"text_encoder": "small", "train_on": list(mixes)}],
            "defaults": {
                "geometry": SMALL.model_dump(mode="json"),
                "model": {"encoder": {"stride": 8}},
                "sampling": {"luna_factor": 0, "organ_share": 0.5, **sampling},
            },
        }
    )


def _planned(grid: GridConfig) -> list[PlannedCell]:
    return make_plan(grid, expand(grid))


def _data(root: Path, stores: dict[str, Path], inspect: str, *mixes: str, **sampling: Any) -> DataPlan:
    grid = _grid(root, stores, inspect, mixes or ("CTRATE+INSPECT+SEG",), **sampling)
    return DataPlan(grid, _planned(grid))


def test_a_plan_counts_the_rows_that_training_then_has(tmp_path: Path, stores: dict[str, Path]) -> None:
    data = _data(tmp_path, stores, "c", "CTRATE", "CTRATE+INSPECT", "CTRATE+INSPECT+SEG")
    assert [one.texts for one in data.cohort_rows()] == [
        ("CTRATE", "2", "6", "8", "4", "", "", ""),
        ("CTRATE in +SEG", "1", "6", "8", "4", "6", "", "0"),
        ("INSPECT", "1", "6", "4", "2", "", "", ""),
        ("INSPECT in +SEG", "1", "6", "4", "2", "3", "", "0"),
    ]
    config = data.planned[-1].cell.config
    opened = {"CTRATE": PreparedCohort.open(stores["CTRATE"]), "INSPECT": PreparedCohort.open(stores["c"])}
    table = training_table(opened, config.train_on, config.sampling, config.seed)
    assert table.groupby(["cohort", "group"]).size().to_dict() == {
        ("CTRATE", "all"): 12,
        ("CTRATE", "organ"): 6,
        ("INSPECT", "organ"): 3,
        ("INSPECT", "unique"): 6,
    }
    data.refuse()
    of_scans = _data(tmp_path, stores, "c", "CTRATE+SEG", organ_share_of="scans", organ_share=0.2).cohort_rows()
    assert [one.rows.masks.wanted for one in of_scans if one.rows.masks] == [1]


def test_organ_rows_are_counted_once_per_cohort_and_only_for_cells_that_train_on_them(
    tmp_path: Path, stores: dict[str, Path]
) -> None:
    data = _data(tmp_path, stores, "c", "CTRATE", "CTRATE+SEG", "CTRATE+INSPECT+SEG")
    assert [line.partition(" (")[0] for line in data.organ_lines(data.cohort_rows())] == [
        "CTRATE: 6 organ rows wanted",
        "INSPECT: 3 organ rows wanted",
    ]
    without = _data(tmp_path, stores, "c", "CTRATE")
    assert without.organ_lines(without.cohort_rows()) == []


@pytest.mark.parametrize(
    ("inspect", "counts"),
    [
        ("a", "3 wanted, 0 found; 6 of 6 training scans have no organ mask"),
        ("b", "3 wanted, 3 found; 5 of 6 training scans have no organ mask"),
    ],
)
def test_a_cohort_without_masks_or_with_too_few_refuses_the_grid_and_names_the_command(
    tmp_path: Path, stores: dict[str, Path], inspect: str, counts: str
) -> None:
    data = _data(tmp_path, stores, inspect, "CTRATE+SEG", "CTRATE+INSPECT+SEG")
    with pytest.raises(UniferumError) as caught:
        data.refuse()
    text = str(caught.value)
    assert text.startswith(f"organ rows of INSPECT ({counts}) must not lack masks in uniferum-small-CTRATE+INSPECT+SEG")
    assert "uniferum data segment configs/cohorts/inspect.yaml ; uniferum data prepare" in text
    assert f"--out {stores[inspect]}" in text
    assert "sampling.missing_masks: warn" in text
    assert "\n" not in text


def test_with_warn_the_cells_train_and_the_plan_shows_the_command(tmp_path: Path, stores: dict[str, Path]) -> None:
    data = _data(tmp_path, stores, "a", missing_masks="warn")
    data.refuse()
    (line,) = [line for line in data.lines(data.cohort_rows()) if line.startswith("organ rows")]
    assert "6 of 6 training scans have no organ mask (sampling.missing_masks: warn); make them with: uniferum" in line


def test_a_few_scans_without_masks_are_counted_and_refuse_nothing(tmp_path: Path, stores: dict[str, Path]) -> None:
    data = _data(tmp_path, stores, "b", organ_share=0.1)  # one row, and one scan that has a mask
    data.refuse()
    (line,) = [line for line in data.lines(data.cohort_rows()) if line.startswith("organ rows")]
    assert line == "organ rows of INSPECT: 1 wanted, 1 found; 5 of 6 training scans have no organ mask"


@pytest.mark.parametrize("state", [PlanState.DONE, PlanState.RESCORE])
def test_cells_that_are_not_trained_again_are_not_refused(tmp_path: Path, stores: dict[str, Path], state: str) -> None:
    data = _data(tmp_path, stores, "a")
    DataPlan(data.grid, [replace(p, state=state) for p in data.planned]).refuse()


def test_no_scan_file_is_opened(tmp_path: Path, stores: dict[str, Path]) -> None:
    made = {name: Path(shutil.copytree(path, tmp_path / name)) for name, path in stores.items()}
    for path in made.values():
        shutil.rmtree(path / "scans")
    data = _data(tmp_path, made, "c")
    data.refuse()
    assert data.lines(data.cohort_rows())


def test_a_group_without_known_test_labels_is_listed_with_the_command_that_makes_them(
    tmp_path: Path, stores: dict[str, Path]
) -> None:
    data = _data(tmp_path, stores, "a", "CTRATE")
    said = [line for line in data.lines(data.cohort_rows()) if line.startswith("scores of INSPECT")]
    shared, unique = said
    assert shared.startswith("scores of INSPECT shared: all 12 labels have no known value in the test split, so that")
    assert "uniferum data label-reports configs/cohorts/inspect.yaml --out ROOT/report_labels.csv" in shared
    assert unique.startswith("scores of INSPECT unique: 7 of 8 labels have no known value in the test split: 12_month")
    assert "label-reports" not in unique


def test_missing_masks_are_listed_before_the_store_exists(tmp_path: Path, stores: dict[str, Path]) -> None:
    data = _data(tmp_path, stores, "absent")
    assert [p.state for p in data.planned] == [PlanState.NO_DATA]
    data.refuse()
    assert data.lines(data.cohort_rows()) == [
        "no store of INSPECT yet: cells that wait for it: 1; make it with: "
        f"uniferum data prepare configs/cohorts/inspect.yaml --out {tmp_path}/absent",
        "organ masks of INSPECT: no store yet; make them with: uniferum data segment configs/cohorts/inspect.yaml ; "
        f"uniferum data prepare configs/cohorts/inspect.yaml --out {tmp_path}/absent",
    ]


def test_a_test_cohort_without_a_store_is_listed_with_its_command(tmp_path: Path, stores: dict[str, Path]) -> None:
    data = _data(tmp_path, stores, "absent", "CTRATE")
    assert [(p.state, p.untested) for p in data.planned] == [(PlanState.DUE, ("INSPECT",))]
    data.refuse()
    assert data.lines(data.cohort_rows())[0] == (
        "no store of INSPECT yet: cells not tested on it: 1; make it with: "
        f"uniferum data prepare configs/cohorts/inspect.yaml --out {tmp_path}/absent"
    )


def test_masks_that_a_dataset_ships_are_not_to_be_made(tmp_path: Path) -> None:
    bare = {"CTRATE": _store(tmp_path, "CTRATE", ()), "c": _store(tmp_path, "INSPECT", ())}
    with pytest.raises(UniferumError, match=r"uniferum data fetch CTRATE --out FOLDER ; uniferum data prepare"):
        _data(tmp_path, bare, "c", "CTRATE+SEG").refuse()


def test_a_store_of_the_training_split_alone_is_refused_where_another_one_is_needed(
    tmp_path: Path, stores: dict[str, Path]
) -> None:
    part = {**stores, "c": _store(tmp_path, "INSPECT", (), splits=("train",) * 4)}
    for mix, lacking in (("CTRATE+INSPECT", "validation"), ("CTRATE", "test")):
        with pytest.raises(
            UniferumError, match=rf"splits \(train 4, validation 0, test 0\) must hold a {lacking} scan"
        ):
            _data(tmp_path, part, "c", mix).refuse()


def test_label_files_are_counted_in_the_plan_and_a_bad_one_is_refused(tmp_path: Path, stores: dict[str, Path]) -> None:
    grid, file = _grid(tmp_path, stores, "c", ["CTRATE"]), tmp_path / "refined.csv"
    evaluation = {"labels": {"CTRATE": {"refined": str(file)}}}
    grid = grid.replace(defaults={**grid.defaults, "evaluation": evaluation})
    file.write_text("VolumeName,Emphysema\ns008.nii.gz,1\ns001,0\n")
    data = DataPlan(grid, _planned(grid))
    (line,) = [line for line in data.lines(data.cohort_rows()) if "refined" in line]
    assert line.startswith("CTRATE [refined]: labels of refined.csv (SHA-256 ")
    assert line.endswith(
        "1 of 2 test scans, 1 labels, 1 positive and 0 negative; not read: 1 scans that are not in the test split"
    )
    data.refuse()
    file.write_text("VolumeName,Emphysemia\ns008,1\n")
    with pytest.raises(UniferumError, match=r"refined\.csv: column Emphysemia must be a label of CTRATE"):
        DataPlan(grid, _planned(grid)).refuse()


def test_grid_plan_and_dry_run_show_the_rows_and_end_with_the_refusal(tmp_path: Path, stores: dict[str, Path]) -> None:
    grid = _grid(tmp_path, stores, "a", ["CTRATE+INSPECT+SEG"])
    file = tmp_path / "grid.yaml"
    file.write_text(yaml.safe_dump(grid.model_dump(mode="json", exclude_none=True)))
    for words in (["plan", str(file)], ["run", str(file), "--dry-run"], ["run", str(file), "--yes"]):
        done = CliRunner().invoke(main.app, ["grid", *words])
        assert isinstance(done.exception, UniferumError), done.output
        assert str(done.exception).startswith("organ rows of INSPECT (3 wanted, 0 found")
        assert ("training rows" in done.stderr) == ("--yes" not in words)
    warned = CliRunner().invoke(main.app, ["grid", "plan", str(file), "--set", "defaults.sampling.missing_masks=warn"])
    assert warned.exit_code == 0, warned.output
