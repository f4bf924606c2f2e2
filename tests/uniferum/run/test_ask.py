"""Answers with the flags of their scan; a doubtful scan is refused unless forced."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.small_models import GEOMETRY, LABELS, small_config, small_model
from uniferum.errors import UniferumError
from uniferum.model.saved.hub import save_pretrained
from uniferum.run.ask import Answer, Question, Trained, ask, questions_of, split_flags
from uniferum.run.scans import scans_of
from uniferum.training.precision import Compute

QUESTIONS = [Question("Is there a nodule?"), Question("Is the heart large?", "cardiomegaly")]
FLAGS = {
    "wrong.nii.gz": ("no_lung", "wrong_hu"),
    "turned.nii.gz": ("orientation_doubtful",),
    "low.nii.gz": ("no_lung",),
}


class Known:
    """Answers by the name of the scan."""

    def answer(self, scan: Path, questions: Sequence[Question]) -> Answer | np.ndarray:
        if scan.name == "worded.nii.gz":
            raise UniferumError("something inside", must="be otherwise")
        if scan.name.startswith("crash"):
            raise {"crash1": TypeError, "crash2": OSError, "crash3": MemoryError}[scan.stem](f"{scan}: secret")
        logits = np.arange(len(questions), dtype=float)
        if scan.name == "bare.nii.gz":
            return logits
        return Answer(logits, FLAGS.get(scan.name, ()), ("an offset of 1024",) if scan.name in FLAGS else ())


def test_flags_and_notes_stand_beside_every_answer() -> None:
    table, failed = ask(Known(), [Path("good.nii.gz"), Path("low.nii.gz")], QUESTIONS)
    assert not failed
    assert list(table.columns) == ["scan", "label", "prompt", "logit", "probability", "flags", "notes"]
    assert table["flags"].tolist() == ["", "", "no_lung", "no_lung"]
    assert table["notes"].tolist()[2] == ("an offset of 1024",)
    assert table["probability"].tolist()[:2] == pytest.approx([0.5, 1 / (1 + np.exp(-1))])


def test_bare_logits_are_answers_of_which_no_flag_is_known() -> None:
    table, failed = ask(Known(), [Path("bare.nii.gz")], QUESTIONS)
    assert (failed, table["flags"].tolist()) == ({}, ["unknown", "unknown"])
    assert [split_flags(cell) for cell in ("unknown", "", "no_lung;wrong_hu")] == [None, [], ["no_lung", "wrong_hu"]]


def test_a_doubtful_scan_is_refused_with_flag_meaning_and_note_and_the_others_are_answered() -> None:
    table, failed = ask(Known(), [Path(f"{n}.nii.gz") for n in ("wrong", "good", "turned")], QUESTIONS)
    assert set(table["scan"]) == {"good.nii.gz"}
    assert set(failed) == {"wrong.nii.gz", "turned.nii.gz"}
    assert failed["wrong.nii.gz"].startswith("wrong.nii.gz: not answered: flagged wrong_hu (")
    assert failed["wrong.nii.gz"].endswith("; an offset of 1024; --force answers all the same")
    assert "orientation_doubtful" in failed["turned.nii.gz"]


def test_forced_it_is_answered_with_its_flags() -> None:
    table, failed = ask(Known(), [Path("wrong.nii.gz")], QUESTIONS, force=True)
    assert (failed, table["flags"].tolist()) == ({}, ["no_lung;wrong_hu"] * 2)


def test_whatever_goes_wrong_with_one_scan_is_one_line_that_names_it() -> None:
    paths = [Path("a") / name for name in ("crash1.x", "crash2.x", "crash3.x", "worded.nii.gz", "good.nii.gz")]
    table, failed = ask(Known(), paths, QUESTIONS)
    assert set(table["scan"]) == {"a/good.nii.gz"}
    assert set(failed) == set(map(str, paths[:-1]))
    for scan, line in failed.items():
        assert line.startswith(f"{scan}: ")
        assert "secret" not in line
        assert "\n" not in line
    assert "TypeError" in failed["a/crash1.x"]
    assert failed["a/worded.nii.gz"].endswith("something inside must be otherwise")


def test_two_scans_of_one_name_are_two_and_one_given_twice_is_one() -> None:
    paths = [Path("a/good.nii.gz"), Path("b/good.nii.gz"), Path("a/good.nii.gz")]
    table, _ = ask(Known(), paths, QUESTIONS)
    assert table["scan"].tolist() == ["a/good.nii.gz"] * 2 + ["b/good.nii.gz"] * 2


def test_nothing_asked_about_is_an_empty_table() -> None:
    table, failed = ask(Known(), [], questions_of(["x"], ()))
    assert (len(table), failed) == (0, {})
    assert "flags" in table.columns


def test_a_logit_far_from_zero_or_missing_gives_a_probability_without_a_warning() -> None:
    class Far:
        def answer(self, scan: Path, questions: Sequence[Question]) -> np.ndarray:
            return np.array([-5000.0, 5000.0, np.nan])

    table, _ = ask(Far(), [Path("a")], [*QUESTIONS, Question("z")])
    assert table["probability"].tolist() == pytest.approx([0, 1, np.nan], nan_ok=True)


def test_a_folder_of_volume_files_is_its_volumes_and_any_other_is_one_scan(tmp_path: Path) -> None:
    names = {"many": ("b.nii.gz", "a.MHD", "a.zraw", "list.csv", ".hidden"), "series": ("IM1", "x.nii"), "empty": ()}
    for folder, files in names.items():
        (tmp_path / folder).mkdir()
        for name in files:
            (tmp_path / folder / name).touch()
    (tmp_path / "study" / "series1").mkdir(parents=True)
    one = tmp_path / "many" / "b.nii.gz"
    given = [one, *(tmp_path / name for name in ("many", "series", "empty", "study")), tmp_path / "absent"]
    assert scans_of(given) == [one, tmp_path / "many" / "a.MHD", *given[2:]]


def test_a_saved_model_sets_the_number_format_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pretrained(small_model(), tmp_path / "saved", small_config(), GEOMETRY, LABELS)
    used: list[Compute] = []
    monkeypatch.setattr(Compute, "use", lambda compute: used.append(compute))
    assert Trained.load(tmp_path / "saved", device="cpu").compute in used
