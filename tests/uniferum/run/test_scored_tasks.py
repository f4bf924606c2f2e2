"""Test splits under several label sets, with augmentation and in other words, from a model and from a finished run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.support.small_runs import LABELS, make_config
from uniferum.config import parse
from uniferum.errors import UniferumError
from uniferum.model.base import Model
from uniferum.run import RunConfig, evaluate_run, evaluation_fingerprint, train_run, training_fingerprint
from uniferum.run.build import open_workbench
from uniferum.run.identity import Reading, fingerprints
from uniferum.run.identity_keys import identity_of
from uniferum.run.no_effect import without_effect
from uniferum.run.result import read_result
from uniferum.run.scored_tasks import Predicted, mean_logits, predict_scored, scored_tasks
from uniferum.run_files import RunFiles
from uniferum.training.precision import choose_compute

Stores = dict[str, Path]
OUTPUTS = sorted({label for labels in LABELS.values() for label in labels})
TARGETS = {"pleural_effusion": (1, 1, 0, 1, None, 0), "cardiomegaly": (0, 1, 1, None, 0, 0)}
"""Labels of the test scans of CT-RATE in the refined file; None is unknown."""


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another label file of CT-RATE, under the column names of its own one."""
    path = tmp_path_factory.mktemp("labels") / "refined.csv"
    rows = zip(*TARGETS.values(), strict=True)
    cells = [",".join("" if value is None else str(value) for value in row) for row in rows]
    lines = [f"test_{number:02d}.nii.gz,{row}\n" for number, row in enumerate(cells)]
    path.write_text("VolumeName,Pleural effusion,Cardiomegaly\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def model(stores: Stores) -> Model:
    """A model with its first weights."""
    return open_workbench(make_config(), stores, choose_compute("fp32", "cpu")).model(OUTPUTS)


def predicted(stores: Stores, model: Model, **evaluation: Any) -> Predicted:
    config = make_config(evaluation=evaluation)
    bench = open_workbench(config, stores, choose_compute("fp32", "cpu"))
    return predict_scored(bench, model, scored_tasks(bench), OUTPUTS)


def of(table: pd.DataFrame, cohort: str) -> pd.DataFrame:
    return table.loc[table["cohort"] == cohort].reset_index(drop=True)


def test_passes_that_change_nothing_leave_the_scores(stores: Stores, model: Model) -> None:
    plain, same = predicted(stores, model).table, predicted(stores, model, augmentations=2, strength="none").table
    np.testing.assert_allclose(same["score"], plain["score"], rtol=0, atol=1e-12)
    pd.testing.assert_frame_equal(same.drop(columns="score"), plain.drop(columns="score"))


def test_logits_are_the_means_over_the_plain_and_the_augmented_passes(stores: Stores, model: Model) -> None:
    bench = open_workbench(
        make_config(evaluation={"augmentations": 2, "strength": "training"}), stores, choose_compute("fp32", "cpu")
    )
    table = bench.test_table()
    passes = [bench.logits(model, table, copy=copy)["score"].to_numpy() for copy in range(3)]
    assert all(np.abs(passes[a] - passes[b]).max() > 0 for a, b in ((0, 1), (1, 2), (0, 2)))
    mean = mean_logits(bench, model, table)
    np.testing.assert_allclose(mean["score"], sum(passes) / 3, rtol=0, atol=1e-12)
    # One volume alone has the draws that it has among others.
    one = table.loc[table["volume_id"] == "CTRATE/test_04"].reset_index(drop=True)
    alone = bench.logits(model, one, copy=2)["score"]
    np.testing.assert_allclose(alone, passes[2][table["volume_id"] == "CTRATE/test_04"], atol=1e-5)


def test_a_label_set_has_its_own_targets_and_the_scores_of_the_same_predictions(
    stores: Stores, model: Model, refined: Path
) -> None:
    plain = predicted(stores, model).table
    table = predicted(stores, model, labels={"CTRATE": {"refined": str(refined)}}).table
    own = table.loc[table["cohort"] != "CTRATE [refined]"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, plain)
    again = of(table, "CTRATE [refined]")
    joined = again.merge(of(plain, "CTRATE"), on=["scan_id", "label"], suffixes=("", "_own"))
    assert len(joined) == len(again) == 10
    assert joined["score"].equals(joined["score_own"])
    assert (joined["target"] != joined["target_own"]).to_numpy().any()
    for label, targets in TARGETS.items():
        rows = again.loc[again["label"] == label]
        assert rows["target"].tolist() == [value for value in targets if value is not None]


def test_each_wording_is_scored_beside_the_own_prompts_which_keep_their_scores(stores: Stores, model: Model) -> None:
    made = predicted(stores, model, prompts=["{prompt}", "{name}, or nothing of the kind?"])
    plain = predicted(stores, model)
    np.testing.assert_allclose(made.table["score"], plain.table["score"], atol=1e-5)
    assert plain.wordings == {}
    assert made.wordings["templates"] == ["{prompt}", "{name}, or nothing of the kind?"]
    for label in made.wordings["labels"]:
        rows = of(made.table, label["cohort"])
        rows = rows.loc[rows["label"] == label["label"]]
        assert label["auroc"][0] == pytest.approx(roc_auc_score(rows["target"], rows["score"]))
        assert label["auroc"][0] == pytest.approx(label["auroc"][1])


def test_the_section_is_in_the_evaluation_fingerprint_only_and_at_its_defaults_in_none(
    stores: Stores, refined: Path
) -> None:
    plain = fingerprints(make_config(), stores)
    assert "evaluation" not in identity_of(make_config())
    # As before this section existed, so that finished runs stay finished.
    assert fingerprints(make_config(evaluation={"strength": "training"}), stores) == plain
    assert "evaluation.strength" in without_effect(make_config())
    for_other = {"labels": {"RADCHEST": {"refined": str(refined)}}}
    assert fingerprints(make_config(evaluate_on=["CTRATE"], evaluation=for_other), stores) == fingerprints(
        make_config(evaluate_on=["CTRATE"]), stores
    )
    changed = [
        {"augmentations": 1},
        {"augmentations": 2},
        {"augmentations": 2, "strength": "training"},
        {"prompts": ["Is there {name}?"]},
        {"labels": {"CTRATE": {"refined": str(refined)}}},
        {"labels": {"CTRATE": {"other": str(refined)}}},
    ]
    configs = [make_config(evaluation=keys) for keys in changed]
    assert {training_fingerprint(one, stores) for one in configs} == {plain.training}
    assert len({plain.evaluation, *(evaluation_fingerprint(one, stores) for one in configs)}) == len(configs) + 1


def test_the_content_of_a_label_file_counts_and_its_path_does_not(
    stores: Stores, refined: Path, tmp_path: Path
) -> None:
    def identity(path: Path) -> str:
        return evaluation_fingerprint(make_config(evaluation={"labels": {"CTRATE": {"refined": str(path)}}}), stores)

    moved = Path(shutil.copyfile(refined, tmp_path / "moved.csv"))
    assert identity(moved) == identity(refined)
    moved.write_text(refined.read_text().replace("test_00.nii.gz,1", "test_00.nii.gz,0"))
    assert identity(moved) != identity(refined)


@pytest.mark.parametrize(
    ("kind", "fault"), [("cnn", "which reads no text"), ("ct_clip", "pairs of texts"), ("prevalence", "reads no text")]
)
def test_other_prompts_are_refused_for_systems_that_read_none(kind: str, fault: str) -> None:
    keys = {"name": "x", "train_on": ["CTRATE"], "model": {"kind": kind}, "evaluation": {"prompts": ["{name}?"]}}
    with pytest.raises(UniferumError, match=fault) as caught:
        parse(RunConfig, keys, source="run.yaml")
    assert "\n" not in str(caught.value)


def test_labels_of_an_unknown_cohort_are_refused(stores: Stores, refined: Path) -> None:
    config = make_config(evaluation={"labels": {"CTRAET": {"refined": str(refined)}}})
    with pytest.raises(UniferumError, match=r"evaluation\.labels \(CTRAET\) must be .*did you mean 'CTRATE'"):
        fingerprints(config, stores)


@pytest.fixture(scope="module")
def finished(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one step that was scored without this section."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    train_run(small(), stores, folder, device="cpu")
    return folder


def small(**evaluation: Any) -> RunConfig:
    return make_config(training={"steps": 1, "validate_every": 1}, evaluate_on=["CTRATE"], evaluation=evaluation)


def test_a_finished_run_is_scored_again_and_not_trained(
    stores: Stores, finished: Path, refined: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "again", symlinks=True))
    before = read_result(folder)
    assert before is not None
    assert not {"evaluation", "label_sets", "wordings"} & before.record.keys()
    config = small(
        augmentations=1, prompts=["Is there {name}?"], labels={"CTRATE": {"refined": str(refined), "b": str(refined)}}
    )
    weights = (RunFiles(folder).best / "model.safetensors").stat().st_mtime_ns
    result = train_run(config, stores, folder, device="cpu")
    assert (RunFiles(folder).best / "model.safetensors").stat().st_mtime_ns == weights
    assert result.record["steps"] == before.record["steps"]
    assert result.training_fingerprint == before.training_fingerprint
    assert result.evaluation_fingerprint != before.evaluation_fingerprint
    assert result.record["evaluation"] == json.loads(json.dumps(Reading(stores).scoring(config)))
    table = pd.read_parquet(RunFiles(folder).predictions)
    for title in ("CTRATE [refined]", "CTRATE [b]"):
        rows = of(table, title)
        areas = [roc_auc_score(part["target"], part["score"]) for _, part in rows.groupby("label")]
        assert result.value(title, "all") == pytest.approx(np.mean(areas))
    counts = [(one["name"], one["test_scans"], one["scans"], one["positives"]) for one in result.record["label_sets"]]
    assert counts == [("refined", 6, 6, 5), ("b", 6, 6, 5)]
    assert [label["label"] for label in result.record["wordings"]["labels"]] == ["cardiomegaly", "pleural_effusion"]
    assert train_run(config, stores, folder, device="cpu").record == result.record
    back = evaluate_run(small(), stores, folder, device="cpu")
    changing = ("seconds", "finished", "devices", "versions")
    assert {k: v for k, v in back.record.items() if k not in changing} == {
        k: v for k, v in before.record.items() if k not in changing
    }
