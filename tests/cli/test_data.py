"""`uniferum data card` and `label-reports` from the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.cohort_layouts import CtRateWriter, table, write_inspect
from uniferum.errors import UniferumError

runner = CliRunner()


@pytest.fixture
def inspect_yaml(tmp_path: Path) -> Path:
    root = write_inspect(tmp_path / "full", 12, patients=12)
    texts = [[i, "Moderate emphysema." if i % 2 else "No emphysema."] for i in range(12)]
    table(root / "impressions_20250611.tsv", ("impression_id", "impressions"), texts, "\t")
    path = tmp_path / "inspect.yaml"
    path.write_text(f"kind: inspect\nroot: {root}\n", encoding="utf-8")
    return path


def test_a_card_stands_beside_table_1_and_names_what_is_left_out(tmp_path: Path) -> None:
    writer = CtRateWriter(tmp_path / "CT-RATE")
    for i in range(10):
        writer.volume(f"train_{i}_a_1", {"Emphysema": i % 2})
    writer.volume("valid_1_a_1")
    writer.volume("valid_2_a_1", file=False)
    writer.save()
    config = tmp_path / "ct_rate.yaml"
    config.write_text("kind: ct_rate\nroot: nowhere\n", encoding="utf-8")
    line = ["data", "card", str(config), "--root", str(writer.root), "--set", "validation_patients=2"]
    card = json.loads(runner.invoke(app, [*line, "--json"]).stdout)
    assert card["found"] == {"train": 8, "validation": 2, "test": 1}
    assert card["missing"] == {"train": 46160, "validation": 219, "test": 3001}
    assert card["dropped"] == {"volume file missing": {"count": 1, "examples": ["valid_2_a_1"]}}
    assert card["papers_split"]["test"] is False, "3,002 scans are the paper's test split, one is not"
    emphysema = card["labels"]["emphysema"]
    assert emphysema["train"]["positive"] + emphysema["validation"]["positive"] == 5
    shown = runner.invoke(app, line)
    assert shown.exit_code == 0
    assert all(text in shown.stdout for text in ("\t46168\t", "volume file missing\t1\t", "\t0 / 1 (0.0 %)"))
    titles = [line for line in shown.stdout.splitlines() if line.startswith("# ")]
    assert titles[0] == "# CTRATE: scans"
    assert json.loads(runner.invoke(app, [*line, "--format", "json"]).stdout) == card


def test_a_card_without_a_scan_is_shown_and_then_refused(tmp_path: Path) -> None:
    writer = CtRateWriter(tmp_path / "CT-RATE")
    writer.volume("train_1_a_1", file=False)
    writer.save()
    config = tmp_path / "ct_rate.yaml"
    config.write_text("kind: ct_rate\nroot: nowhere\n", encoding="utf-8")
    done = runner.invoke(app, ["data", "card", str(config), "--root", str(writer.root)])
    assert "volume file missing" in done.output
    assert isinstance(done.exception, UniferumError)
    assert "searched for dataset/train_fixed" in str(done.exception)
    assert "excluded: 1 volume file missing (first: train_1_a_1)" in str(done.exception)


def test_a_wrong_root_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("kind: luna16\nroot: nowhere\n", encoding="utf-8")
    done = runner.invoke(app, ["data", "card", str(config)])
    assert isinstance(done.exception, UniferumError)
    assert "root (nowhere) must be a folder; use --root" in str(done.exception)


def test_reports_are_labelled_offline_by_default_and_checked(inspect_yaml: Path, tmp_path: Path) -> None:
    out, review = tmp_path / "report_labels.csv", tmp_path / "review.csv"
    hand = table(tmp_path / "hand.csv", ("impression_id", "label", "value"), [[2, "emphysema", 0], [5, "emphysema", 1]])
    line = ["data", "label-reports", str(inspect_yaml), "--out", str(out), "--check", str(hand)]
    done = runner.invoke(app, [*line, "--review", str(review)])
    assert done.exit_code == 0, done.exception
    lines = [f"{i},emphysema,{i % 2}" for i in (2, 5, 8, 11)]
    assert out.read_text(encoding="utf-8").splitlines() == ["impression_id,label,value", *lines]
    assert json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))["labeller"] == "rules"
    assert f"# {out}\nlabel\tpositive\tnegative\tunknown\nemphysema\t2\t2\t0\n" in done.stdout
    assert "emphysema\t2 / 2" in done.stdout
    assert f"{review}: 4 lines to fill in" in done.stdout
    assert "4 questions" in done.stderr, "what is about to happen is a message"
    assert sorted(review.read_text(encoding="utf-8").splitlines()[1:]) == [f"{i},emphysema," for i in (11, 2, 5, 8)]
    table_path = ["--set", f"report_labels={out}"]
    card = json.loads(runner.invoke(app, ["data", "card", str(inspect_yaml), "--json", *table_path]).stdout)
    assert card["labels"]["emphysema"]["test"] == {"positive": 2, "negative": 2}


def test_nothing_is_sent_before_the_cost_is_printed_and_agreed(inspect_yaml: Path, tmp_path: Path) -> None:
    out = tmp_path / "report_labels.csv"
    line = ["data", "label-reports", str(inspect_yaml), "--out", str(out), "--endpoint", "http://127.0.0.1:9/v1"]
    refused = runner.invoke(app, line, input="n\n")
    assert refused.exit_code == 0
    assert "4 questions, 0 answered before; about" in refused.output
    assert not out.exists()
    counted = runner.invoke(app, [*line, "--dry-run", "--ask", "price_in=2500000"])
    assert "US$" in counted.stdout
    wrong = runner.invoke(app, [*line, "--ask", "modell=x"])
    assert "did you mean 'model'" in str(wrong.exception)


def test_a_cohort_without_reports_is_named(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(f"kind: luna16\nroot: {tmp_path}\n", encoding="utf-8")
    done = runner.invoke(app, ["data", "label-reports", str(config), "--out", str(tmp_path / "x.csv")])
    assert "must be a cohort with reports" in str(done.exception)
