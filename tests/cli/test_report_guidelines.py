"""Tables of reporting guidelines from the command line, against scikit-learn and direct formulas."""

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score, roc_curve
from typer.testing import CliRunner

from cli.main import app
from tests.support.written_cells import write_cell

runner = CliRunner()
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cell with validation predictions of other cases."""
    made = write_cell(tmp_path_factory.mktemp("cells"), draws=2)
    tested = pd.read_parquet(made / "predictions.parquet")
    score = tested["score"] + np.random.default_rng(3).normal(size=len(tested)) * 0.5
    ids = {name: "v" + tested[name] for name in ("volume_id", "patient_id", "scan_id")}
    tested.assign(split="validation", score=score, **ids).to_parquet(made / "validation_predictions.parquet")
    return made


@pytest.fixture
def report(folder: Path) -> Callable[..., Rows]:
    """Rows that the command prints as CSV."""

    def run(*words: str) -> Rows:
        done = runner.invoke(app, ["report", "--from", str(folder), *words, "--format", "csv"])
        assert done.exit_code == 0, done.exception
        return list(csv.DictReader(io.StringIO(done.stdout)))

    return run


def cases(folder: Path, name: str, cohort: str, label: str) -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_parquet(folder / name)
    part = table[(table["cohort"] == cohort) & (table["label"] == label)]
    return part["target"].to_numpy(), part["score"].to_numpy()


def decisions(folder: Path, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Targets and decisions (cases, labels) on CT-RATE, at the thresholds of Youden's index on validation."""
    truth, called = [], []
    for label in labels:
        false, true, thresholds = roc_curve(
            *cases(folder, "validation_predictions.parquet", "CTRATE", label), drop_intermediate=False
        )
        target, score = cases(folder, "predictions.parquet", "CTRATE", label)
        truth.append(target)
        called.append(score >= thresholds[(true - false).argmax()])
    return np.stack(truth, axis=1).astype(int), np.stack(called, axis=1).astype(int)


def test_averages_at_thresholds_of_validation_are_those_of_scikit_learn(
    report: Callable[..., Rows], folder: Path
) -> None:
    truth, called = decisions(folder, ["lung_nodule", "pleural_effusion"])
    rows = {row["Average"]: row for row in report("--table", "operating-points", "--cohort", "CTRATE")}
    for kind, row in rows.items():
        wanted = precision_recall_fscore_support(truth, called, average=kind, zero_division=0)
        result = [float(row[name]) for name in ("Precision", "Sensitivity", "F1")]
        assert result == pytest.approx(wanted[:3], abs=1e-12)
        assert float(row["F1 low"]) < wanted[2] < float(row["F1 high"])
    assert float(rows["micro"]["Accuracy"]) == pytest.approx(accuracy_score(truth.ravel(), called.ravel()))
    positives, decided = truth.sum(), truth.size
    gain, most = (decided - positives) / (2 * positives), (decided - positives) / 2
    tp, fp, fn = ((truth & called).sum(), ((1 - truth) & called).sum(), (truth & (1 - called)).sum())
    assert float(rows["macro"]["CRG"]) == pytest.approx(most / (2 * most - (gain * tp - gain * fn - fp)))


def test_a_label_without_a_threshold_says_why_and_is_counted(report: Callable[..., Rows]) -> None:
    (row,) = report("--table", "operating-points-labels", "--label", "never_positive")
    assert (row["Threshold"], row["F1"], row["Positive"]) == ("one class on validation", "", "0")
    averages = report("--table", "operating-points", "--cohort", "RADCHEST", "--group", "unique")
    assert {one["Labels"] for one in averages} == {"1/2"}


def test_a_threshold_does_not_depend_on_test_cases(report: Callable[..., Rows], folder: Path, tmp_path: Path) -> None:
    other = tmp_path / folder.name
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tested = pd.read_parquet(folder / "predictions.parquet")
    tested.assign(score=-tested["score"], target=1 - tested["target"]).to_parquet(other / "predictions.parquet")
    words = ["--table", "operating-points-labels", "--cohort", "CTRATE", "--threshold", "sensitivity=0.9"]
    done = runner.invoke(app, ["report", "--from", str(tmp_path), *words, "--format", "csv"])
    changed = csv.DictReader(io.StringIO(done.stdout))
    own = report(*words)
    assert [row["Threshold"] for row in own] == [row["Threshold"] for row in changed]
    for row in own:
        target, score = cases(folder, "validation_predictions.parquet", "CTRATE", row["Label"])
        reached = [(score[target > 0] >= float(row["Threshold"]) + shift).mean() for shift in (0, 1e-9)]
        assert reached[0] >= 0.9 > reached[1], "the highest that reaches it"


def test_calibration_is_that_of_a_logistic_regression(report: Callable[..., Rows], folder: Path) -> None:
    (row,) = report("--table", "calibration-slope", "--label", "pe_positive")
    target, score = cases(folder, "predictions.parquet", "INSPECT", "pe_positive")
    fit = LogisticRegression(C=math.inf, tol=1e-12, max_iter=1000).fit(score[:, None], target)
    assert float(row["Slope"]) == pytest.approx(fit.coef_[0, 0], abs=1e-5)
    assert (row["Cases"], row["Positive"]) == ("40", str(int(target.sum())))


def test_net_benefit_is_its_formula(report: Callable[..., Rows], folder: Path) -> None:
    target, score = cases(folder, "predictions.parquet", "INSPECT", "pe_positive")
    chance = 1 / (1 + np.exp(-score))
    for row in report("--table", "decision", "--label", "pe_positive", "--probabilities", "0.2,0.6"):
        at = float(row["Threshold"])
        treated = chance >= at
        wanted = (treated & (target > 0)).mean() - (treated & (target == 0)).mean() * at / (1 - at)
        assert float(row["Net benefit"]) == pytest.approx(wanted)
        assert float(row["Treat all"]) == pytest.approx(target.mean() - (1 - target.mean()) * at / (1 - at))


def test_a_subgroup_has_the_auroc_of_its_cases_and_a_small_one_none(
    report: Callable[..., Rows], folder: Path, tmp_path: Path
) -> None:
    people = tmp_path / "people.csv"
    sexes = ["F"] * 16 + ["M"] * 4
    people.write_text("\n".join(["patient_id,sex", *(f"INSPECT-p{at},{sex}" for at, sex in enumerate(sexes))]))
    words = ["--table", "subgroups", "--metadata", f"INSPECT={people}", "--by", "sex", "--smallest", "10"]
    rows = {row["Class"]: row for row in report(*words, "--cohort", "INSPECT", "--group", "unique")}
    target, score = cases(folder, "predictions.parquet", "INSPECT", "pe_positive")
    assert float(rows["F"]["AUROC"]) == pytest.approx(roc_auc_score(target[:32], score[:32]))
    assert (rows["F"]["Patients"], rows["F"]["Cases"]) == ("16", "32")
    assert (rows["M"]["Patients"], rows["M"]["Cases"], rows["M"]["AUROC"]) == ("<10", "suppressed", "")


def test_the_flow_counts_scored_scans_and_known_labels(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / folder.name
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tested = pd.read_parquet(folder / "predictions.parquet")
    tested.iloc[3:].to_parquet(other / "predictions.parquet")
    words = ["report", "--from", str(tmp_path), "--table", "flow", "--cohort", "CTRATE", "--format", "csv"]
    (row,) = csv.DictReader(io.StringIO(runner.invoke(app, words).stdout))
    assert (row["Step"], row["Scans"], row["Patients"]) == ("scored", "40", "20")
    assert row["Note"] == "77 labels of scans, in 1 of 1 cells"
