"""`uniferum report` and `uniferum why` from the command line."""

import json

import optuna
import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.ablation_cells import write_ablation
from tests.support.written_cells import write_cell
from uniferum.errors import UniferumError

runner = CliRunner()


def test_tables_go_to_standard_output(tmp_path):
    write_cell(tmp_path)
    done = runner.invoke(app, ["report", "--from", str(tmp_path), "--table", "aupr", "--format", "json"])
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["metric"] == "aupr"
    assert {entry["train_on"] for entry in document["entries"]} == {"CTRATE"}


def test_a_number_is_traced(tmp_path):
    write_cell(tmp_path)
    done = runner.invoke(app, ["why", "auroc", "pubmedbert", "INSPECT unique", "--from", str(tmp_path)])
    assert done.exit_code == 0
    assert "training fingerprint: 0123456789abcdef" in done.stdout


def test_a_folder_without_cells_is_an_error_of_one_line(tmp_path):
    done = runner.invoke(app, ["report", "--from", str(tmp_path)])
    assert isinstance(done.exception, UniferumError)
    assert "at least one cell" in str(done.exception)


@pytest.mark.parametrize(("option", "value"), [("--table", "aurok"), ("--format", "word"), ("--against", "others")])
def test_an_unknown_name_is_an_error_of_one_line(tmp_path, option, value):
    write_cell(tmp_path)
    done = runner.invoke(app, ["report", "--from", str(tmp_path), option, value])
    assert isinstance(done.exception, UniferumError)
    assert value in str(done.exception)


def test_no_grid_and_no_folder_names_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["report"])
    assert isinstance(done.exception, UniferumError)
    assert "--grid" in str(done.exception)


def test_the_help_lists_every_table():
    from cli.report import TABLE_NAMES
    from uniferum.report.guidelines.catalogue import NAMES
    from uniferum.report.tables.catalogue import TABLES

    assert {*TABLES, *NAMES} == set(TABLE_NAMES)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--attainable"], "Margins that can be decided, AUROC"),
        (["--verdict"], "unknown split: the record does not say which it is"),
        (["--against", "paper"], "The paper's 1 on CTRATE all: not comparable: unknown split"),
        (["--against", "all"], "GreenRFM (zero-shot), AUROC 0.8480 on CTRATE all: not comparable"),
        (["--verdict", "--against", "paper", "--format", "json"], "Published values beside"),
        (["--claims"], "Claim 9"),
        (["--rows", "train_on", "--columns", "group", "--metric", "ece"], "Expected calibration error"),
        (["--table", "labels", "--cohort", "INSPECT", "--recompute"], "pe_positive"),
        (["--published", "--intervals", "--format", "latex"], "0.8296"),
    ],
)
def test_each_view_of_the_cells_is_printed(tmp_path, options, word):
    write_cell(tmp_path)
    done = runner.invoke(app, ["report", "--from", str(tmp_path), *options])
    assert done.exit_code == 0, done.exception
    assert word in done.stdout


def test_two_cells_are_tested_against_each_other(tmp_path):
    first, second = "uniferum-pubmedbert-CTRATE", "uniferum-pubmedbert-CTRATE+SEG"
    write_cell(tmp_path, "CTRATE")
    write_cell(tmp_path, "CTRATE+SEG")
    words = ["report", "--from", str(tmp_path), "--compare", first, "--compare", second, "--format", "json"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.exception
    rows = json.loads(done.stdout)["rows"]
    assert {(row["First"], row["Second"]) for row in rows} == {(first, second)}


@pytest.fixture(scope="module")
def ablation(tmp_path_factory):
    root = tmp_path_factory.mktemp("ablation")
    write_ablation(root, seeds=2, half_way=("3e-4 true 1",))
    return root


@pytest.mark.parametrize("kind", ["terminal", "md", "csv", "json", "latex", "html"])
def test_the_effect_of_an_axis_is_printed_in_every_format(ablation, kind):
    words = [
        "report",
        "--from",
        str(ablation),
        "--vary",
        "lr",
        "--base",
        "0.0001",
        "--cohort",
        "CTRATE",
        "--format",
        kind,
    ]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert "seed 1 unfinished at" in done.stdout.replace(r"\\", " ")
    if kind == "json":
        document = json.loads(done.stdout)
        assert [row["lr"] for row in document["rows"]] == ["5e-5", "1e-4", "3e-4"] * 2
        assert [row["Difference"] for row in document["rows"][1::3]] == ["base", "base"]
        assert document["title"] == "Effect of lr on AUROC"


def test_tables_have_axes_as_rows_and_columns(ablation):
    words = ["report", "--from", str(ablation), "--rows", "model,lr", "--columns", "cohort,freeze", "--group", "all"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert "CTRATE freeze=true" in done.stdout
    assert "DIFFERENT" not in done.stdout
    assert "lr=3e-4, freeze=true" in runner.invoke(app, words[:3]).stdout
    done = runner.invoke(app, [*words[:3], "--rows", "lr", "--format", "csv"])
    assert "Numbers are means over freeze: false, true." in done.stderr
    assert "Numbers are means" not in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vary", "lrr"], "--vary (lrr) must be an axis of the grid or a key of a run; did you mean 'lr'?"),
        (["--vary", "lr", "--base", "1"], "--base (1) must be a value of lr; the cells have 5e-5, 1e-4, 3e-4"),
        (["--rows", "frieze"], "did you mean 'freeze'?"),
    ],
)
def test_an_unknown_axis_or_base_is_an_error_of_one_line(ablation, options, message):
    done = runner.invoke(app, ["report", "--from", str(ablation), *options])
    assert isinstance(done.exception, UniferumError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)


def test_figures_of_a_key_are_drawn_beside_its_table(ablation, tmp_path):
    words = ["report", "--from", str(ablation), "--vary", "optim.lr", "--figures", str(tmp_path / "figures")]
    words += ["--figure", "effects-optim.lr", "--figure", "learning-curves-lr", "--figure-format", "svg"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.exception
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        "effects-optim.lr.svg",
        "learning-curves-lr.svg",
    }
    assert "Effect of optim.lr on AUROC" in done.stdout


def test_a_search_is_printed_and_drawn(tmp_path):
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="s", direction="maximize")
    rates = {"optim.lr": optuna.distributions.FloatDistribution(1e-5, 1)}
    for rate in (1e-4, 1e-3):
        study.add_trial(optuna.create_trial(params={"optim.lr": rate}, distributions=rates, value=rate))
    words = ["report", "--search", str(tmp_path / "study.db")]
    done = runner.invoke(app, [*words, "--figures", str(tmp_path / "figures"), "--figure-format", "svg"])
    assert done.exit_code == 0, done.exception
    assert "Search s" in done.stdout
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["parallel-coordinates.svg"]
    assert "Values of optim.lr in search s" in runner.invoke(app, [*words, "--vary", "optim.lr"]).stdout
    refused = runner.invoke(app, [*words, "--figures", str(tmp_path), "--figure", "roc"])
    assert "must be parallel-coordinates" in str(refused.exception)


def test_two_text_encoders_are_compared(tmp_path):
    for encoder in ("small", "wide"):
        write_cell(tmp_path, encoder=encoder)
    done = runner.invoke(app, ["report", "--from", str(tmp_path), "--compare-encoders", "--format", "json"])
    assert done.exit_code == 0, done.exception
    titles = [one["title"] for one in json.loads(done.stdout)]
    assert titles[0] == "tiny-64 (first) against tiny-96 (second): group means"
    assert titles[2].startswith("Claim 7")


def test_several_verdicts_in_json_are_one_document(tmp_path):
    write_cell(tmp_path)
    words = ["--verdict", "--table", "auroc", "--table", "aupr", "--format", "json"]
    done = runner.invoke(app, ["report", "--from", str(tmp_path), *words])
    assert [one["title"] for one in json.loads(done.stdout)] == ["Verdict on AUROC", "Verdict on AUPR"]


def test_in_csv_the_reasons_why_values_do_not_compare_go_to_standard_error(tmp_path):
    write_cell(tmp_path)
    words = ["report", "--from", str(tmp_path), "--against", "all", "--format"]
    done = runner.invoke(app, [*words, "csv"])
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith("Model,Text encoder,")
    assert "not comparable" not in done.stdout
    notes = json.loads(runner.invoke(app, [*words, "json"]).stdout)["notes"]
    assert any("not comparable" in line for line in notes)
    assert done.stderr.splitlines() == notes
    assert runner.invoke(app, [*words, "terminal"]).stderr == ""


def test_figures_and_page_are_written_and_nothing_is_printed(tmp_path):
    write_cell(tmp_path)
    figures = ["--figures", str(tmp_path / "f"), "--figure", "figure3", "--figure-format", "svg"]
    done = runner.invoke(app, ["report", "--from", str(tmp_path), *figures])
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "f" / "figure3.svg").exists()
    assert done.stdout == ""
