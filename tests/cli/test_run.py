"""`uniferum run` and `uniferum predict`: one line for every error, results on standard output."""

import json
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from cli import main as command
from tests.support.raw_scans import thorax, write_nifti
from tests.support.small_runs import CONFIG, make_config, make_stores
from uniferum.model.registry import build_model
from uniferum.model.saved.hub import save_pretrained
from uniferum.run import RunConfig, train_run
from uniferum.run import ask as asking
from uniferum.run_files import RunFiles
from uniferum.training.checkpoint import load_weights

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores, a config file, a finished run and a raw scan."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("world")
    stores = make_stores(root / "stores")
    (root / "run.yaml").write_text(yaml.safe_dump(CONFIG))
    train_run(make_config(), stores, root / "finished")
    write_nifti(root / "scan.nii.gz", thorax(noise=10)[0])
    return root


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: exit code, standard output, standard error."""

    def go(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["uniferum", *map(str, words)])
        try:
            command.main()
            code = 0
        except SystemExit as done:
            code = int(done.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return go


def given(root: Path) -> str:
    return ",".join(f"{path.name}={path}" for path in sorted((root / "stores").iterdir()))


def test_a_dry_run_prints_the_whole_config_and_does_nothing(world: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    words = ("run", "train", world / "run.yaml", "--stores", given(world), "--folder", folder, "--dry-run")
    code, out, err = run(*words, "--set", "optim.lr=0.5")
    assert code == 0
    assert RunConfig.model_validate(yaml.safe_load(out)) == make_config(optim={"lr": 0.5})
    assert "training fingerprint" in err
    assert not folder.exists()


def test_training_a_finished_run_shows_its_table_again(world: Path, run: Run) -> None:
    folder = world / "finished"
    code, out, err = run("run", "train", world / "run.yaml", "--stores", given(world), "--folder", folder)
    assert code == 0, err
    title, heads, *rows, path = out.splitlines()
    assert title.endswith("means over labels, test split")
    assert heads.split("\t")[:4] == ["cohort", "group", "metric", "value"]
    assert "CTRATE" in {row.split("\t")[0] for row in rows}
    assert path == str(RunFiles(folder).result)
    assert "means over labels" not in err


def test_what_the_machine_computes_in_is_said_and_recorded(
    world: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uniferum.training.precision.computes_in_bf16", lambda device: False)
    wanted = ("--set", "training.precision=bf16", "--set", "training.steps=1")
    code, _, err = run(
        "run", "train", world / "run.yaml", "--stores", given(world), "--folder", tmp_path, "--device", "cpu", *wanted
    )
    assert code == 0, err
    assert "in fp32, because this cpu has no bf16 arithmetic" in err
    made = json.loads(RunFiles(tmp_path).result.read_text())["devices"]
    assert (made["precision"], made["precision_reason"]) == ("fp32", "fp32, because this cpu has no bf16 arithmetic")


def test_evaluating_scores_again(world: Path, run: Run) -> None:
    folder = world / "finished"
    before = RunFiles(folder).result.stat().st_mtime_ns
    code, _, err = run("run", "evaluate", world / "run.yaml", "--stores", given(world), "--folder", folder)
    assert code == 0, err
    assert RunFiles(folder).result.stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--stores", "CTRATE"), "must look like COHORT=path"),
        (("--stores", "CTRATE=/nowhere"), "must be a prepared store"),
        (("--stores", "LUNA16=/nowhere"), "stores (CTRATE) must have a path"),
        (("--stores", "CTRATE=x", "--set", "training.stpes=3"), "did you mean 'steps'"),
        (("--stores", "CTRATE=x", "--set", "optim.lr=-1"), "optim.lr (-1) must be greater than 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    world: Path, run: Run, tmp_path: Path, words: tuple[str, ...], fault: str
) -> None:
    code, out, err = run("run", "train", world / "run.yaml", "--folder", tmp_path / "x", *words)
    assert (code, out) == (2, "")
    assert fault in err
    assert len(err.strip().splitlines()) == 1


def test_evaluating_where_nothing_was_trained_says_so(world: Path, run: Run, tmp_path: Path) -> None:
    code, _, err = run("run", "evaluate", world / "run.yaml", "--stores", given(world), "--folder", tmp_path)
    assert code == 2
    assert "must be a checkpoint folder" in err


def test_a_raw_scan_is_asked_by_prompt_and_by_label(world: Path, run: Run) -> None:
    words = ("--prompt", "Diagnose the presence of anything", "--label", "pleural_effusion", "--format", "json")
    code, out, err = run("predict", world / "finished", world / "scan.nii.gz", *words)
    assert code == 0, err
    free, label = json.loads(out)
    assert (free["label"], label["label"]) == ("", "pleural_effusion")
    assert label["prompt"] == "Diagnose the presence of pleural effusion around the lungs"
    for answer in (free, label):
        assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-answer["logit"])))


def test_a_saved_model_is_asked_as_its_checkpoint_is(world: Path, run: Run, tmp_path: Path) -> None:
    best = RunFiles(world / "finished").best
    card, config = json.loads((best / "checkpoint.json").read_text()), make_config()
    model = build_model(config.model, config.geometry, tuple(card["labels"]), 0)
    load_weights(model, best)
    save_pretrained(model, tmp_path / "saved", config.model, config.geometry, tuple(card["labels"]))
    answers = []
    for folder in (world / "finished", tmp_path / "saved"):
        code, out, err = run("predict", folder, world / "scan.nii.gz", "--label", "cardiomegaly", "--format", "json")
        assert code == 0, err
        answers.append(json.loads(out)[0]["logit"])
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)


def test_a_scan_that_cannot_be_read_does_not_stop_the_others(world: Path, run: Run) -> None:
    code, out, err = run("predict", world / "finished", "/no.nii.gz", world / "scan.nii.gz", "--label", "cardiomegaly")
    assert code == 1
    assert len(out.strip().splitlines()) == 2
    assert "/no.nii.gz" in err


@pytest.mark.parametrize(
    ("words", "fault"),
    [((), "--prompt must be given"), (("--label", "cardiomegali"), "did you mean 'cardiomegaly'")],
)
def test_a_question_that_cannot_be_asked_is_one_line(world: Path, run: Run, words: tuple[str, ...], fault: str) -> None:
    code, _, err = run("predict", world / "finished", world / "scan.nii.gz", *words)
    assert code == 2
    assert fault in err


class Known:
    """A model that answers 0 to every question; the name of a scan gives its flags, `none`: not checked."""

    def answer(self, scan: Path, questions: Sequence[asking.Question]) -> asking.Answer | np.ndarray:
        logits = np.array([np.nan if question.label == "emphysema" else 0.0 for question in questions])
        name = scan.name.removesuffix(".nii.gz")
        if name == "crash":
            raise TypeError("secret")
        flags = tuple(name.split("+")) if name != "good" else ()
        return logits if name == "none" else asking.Answer(logits, flags, ("a number behind it",) if flags else ())


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the model by :class:`Known`."""
    monkeypatch.setattr(asking.Trained, "load", lambda checkpoint, device=None: Known())


@pytest.mark.usefixtures("known")
def test_flags_stand_beside_answers_and_on_the_terminal(run: Run) -> None:
    code, out, err = run("predict", "m", "good.nii.gz", "no_lung+lungs_cut.nii.gz", "--label", "cardiomegaly")
    assert code == 0
    answers = pd.read_csv(StringIO(out), keep_default_na=False).to_dict(orient="records")
    assert [(answer["scan"], answer["flags"]) for answer in answers] == [
        ("good.nii.gz", ""),
        ("no_lung+lungs_cut.nii.gz", "no_lung;lungs_cut"),
    ]
    assert "no_lung+lungs_cut.nii.gz: no_lung: no lung was found by mask or by threshold" in err
    assert "note: a number behind it" in err
    assert "good.nii.gz" not in err


@pytest.mark.usefixtures("known")
def test_a_doubtful_scan_is_refused_and_one_that_crashes_is_named_while_others_are_answered(run: Run) -> None:
    scans = [f"{name}.nii.gz" for name in ("wrong_hu", "good", "orientation_doubtful", "crash")]
    code, out, err = run("predict", "m", *scans, "--label", "cardiomegaly", "--format", "json")
    assert code == 1
    assert [answer["scan"] for answer in json.loads(out)] == ["good.nii.gz"]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [line.split(":")[1].strip() for line in errors] == [scans[0], *scans[2:]]
    assert all("a number behind it" in line for line in errors[:2])
    assert "secret" not in err


@pytest.mark.usefixtures("known")
def test_forced_it_answers_and_says_that_it_is_doubtful(run: Run) -> None:
    code, out, err = run("predict", "m", "wrong_hu.nii.gz", "--label", "cardiomegaly", "--force", "--format", "json")
    assert code == 0
    (answer,) = json.loads(out)
    assert (answer["flags"], answer["notes"]) == (["wrong_hu"], ["a number behind it"])
    assert "wrong_hu.nii.gz: answered because of --force; the result is not reliable" in err


@pytest.mark.usefixtures("known")
def test_what_is_not_known_is_null_in_json(run: Run) -> None:
    code, out, err = run("predict", "m", "none.nii.gz", "--label", "emphysema", "--format", "json")
    (answer,) = json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (code, answer["logit"], answer["probability"], answer["flags"]) == (0, None, None, None)
    assert "no output for emphysema" in err


@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_was_answered_before_ctrl_c_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    class Interrupted(Known):
        def answer(self, scan: Path, questions: Sequence[asking.Question]) -> asking.Answer | np.ndarray:
            if scan.name == "second.nii.gz":
                raise KeyboardInterrupt
            return super().answer(scan, questions)

    monkeypatch.setattr(asking.Trained, "load", lambda checkpoint, device=None: Interrupted())
    words = ("predict", "m", "good.nii.gz", "second.nii.gz", "--label", "cardiomegaly", "--format", form)
    code, out, err = run(*words)
    assert code == 130
    assert out.count("good.nii.gz") == 1
    assert form == "csv" or [answer["scan"] for answer in json.loads(out)] == ["good.nii.gz"]
    assert "interrupted" in err
