"""Reading cells back from their folders."""

import json

import pytest

from uniferum.errors import UniferumError
from uniferum.report.read_records import from_folders
from uniferum.report.records import mix_name, newest, row_order
from uniferum.report.systems import PAPER_TEXT
from uniferum.report.unfinished import unfinished


def test_a_finished_cell_is_read_whole(cells, tmp_path):
    cells("CTRATE+SEG")
    (record,) = from_folders(tmp_path)
    assert record.row == ("uniferum", "pubmedbert", "CTRATE+SEG")
    assert {(g.cohort, g.group) for g in record.groups} >= {("CTRATE", "all"), ("RADCHEST", "unique")}
    assert set(record.labels["label"]) >= {"lung_nodule", "never_positive"}
    assert len(record.predictions(["score"]).columns) == 1
    assert record.steps()["step"].tolist() == [10, 20]


def test_the_root_the_cells_folder_and_one_cell_can_be_given(cells, tmp_path):
    folder = cells()
    assert len(from_folders(tmp_path)) == len(from_folders(tmp_path / "cells")) == len(from_folders(folder)) == 1


def test_a_cell_without_a_result_is_unfinished_and_says_how_far(cells, tmp_path):
    cells("CTRATE")
    cells("INSPECT", done=False)
    assert [record.mix for record in from_folders(tmp_path)] == ["CTRATE"]
    (waiting,) = unfinished(tmp_path)
    assert (waiting.row, waiting.reason) == (("uniferum", "pubmedbert", "INSPECT"), "unfinished at 50 %")


def test_a_failed_cell_gives_its_reason(cells, tmp_path):
    folder = cells(done=False)
    (folder / "failure.json").write_text(json.dumps({"reason": "out of memory"}))
    assert unfinished(tmp_path)[0].reason == "failed: out of memory"


@pytest.mark.parametrize(
    ("encoder", "changed", "word"),
    [
        ("pubmedbert", {"name": "tiny", "hidden": 64}, "tiny-64"),
        ("gatortron", {"name": "minilm"}, "minilm-4"),
        ("small", {"name": "owner/other-bert", "layers": 4}, "owner/other-bert"),
        ("pubmedbert", {"layers": 6}, f"{PAPER_TEXT['pubmedbert']}-6"),
        ("pubmedbert", {"name": "pubmedbert"}, "./pubmedbert"),
        ("wide", {"name": PAPER_TEXT["gatortron"], "layers": 4}, "gatortron"),
    ],
)
def test_the_text_encoder_is_what_the_config_says_and_not_the_word_of_the_grid(cells, tmp_path, encoder, changed, word):
    cells(encoder=encoder, text=changed)
    cells("INSPECT", encoder=encoder, text=changed, done=False)
    (record,), (waiting,) = from_folders(tmp_path), unfinished(tmp_path)
    assert record.text_encoder == waiting.text_encoder == word
    assert bool(record.other_system) == bool(waiting.other_system) == (word not in PAPER_TEXT)


@pytest.mark.parametrize(
    ("section", "changed", "said"),
    [
        ("image", {"name": "tf_efficientnet_lite0"}, "encoder.name tf_efficientnet_lite0"),
        ("image", {"weights": "none"}, "encoder.weights none"),
        ("fusion", {"summary": True}, "fusion.summary"),
        ("fusion", {"positions": "twice"}, ""),
        ("geometry", {"crop_mm": [384.0, 320.0, 256.0], "model_shape": [256, 160, 128]}, ""),
        ("geometry", {"model_shape": [48, 40, 32]}, "geometry.model_shape [48, 40, 32]"),
    ],
)
def test_a_cell_is_the_papers_system_only_whole(cells, tmp_path, section, changed, said):
    cells(**{section: changed})
    cells("INSPECT", done=False, **{section: changed})
    assert from_folders(tmp_path)[0].other_system == unfinished(tmp_path)[0].other_system == said


def test_a_cell_whose_config_is_gone_or_damaged_is_not_taken_for_the_papers_system(cells, tmp_path):
    for mix, text in (("CTRATE", None), ("INSPECT", "model: ["), ("RADCHEST", "model: 7")):
        path = cells(mix) / "config.yaml"
        path.unlink() if text is None else path.write_text(text)
    for record in from_folders(tmp_path):
        assert record.text_encoder == PAPER_TEXT["pubmedbert"]
        assert record.other_system == "its config is not recorded"


def test_the_newest_of_two_records_of_one_name_is_kept(cells, tmp_path):
    import os

    old, new = cells(fingerprint="a" * 16), cells(fingerprint="b" * 16)
    os.utime(old / "result.json", (1, 1))
    kept, hidden = newest(from_folders(tmp_path))
    assert [record.folder for record in kept] == [new]
    assert [record.folder for record in hidden] == [old]


def test_rows_stand_in_the_order_of_the_paper():
    rows = [("cnn", "", "INSPECT"), ("uniferum", "pubmedbert", "X"), ("uniferum", "pubmedbert", "CTRATE+SEG")]
    rows += [("uniferum", "gatortron", "CTRATE"), ("uniferum", "pubmedbert", "CTRATE")]
    assert [row[1:] for row in sorted(rows, key=row_order)] == [
        ("pubmedbert", "CTRATE"),
        ("pubmedbert", "CTRATE+SEG"),
        ("pubmedbert", "X"),
        ("gatortron", "CTRATE"),
        ("", "INSPECT"),
    ]


def test_seg_stands_last_in_a_mix():
    assert mix_name(["SEG", "CTRATE", "INSPECT"]) == "CTRATE+INSPECT+SEG"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UniferumError, match="nowhere"):
        from_folders(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}'])
def test_a_damaged_record_is_named(cells, tmp_path, text):
    (cells() / "result.json").write_text(text)
    with pytest.raises(UniferumError, match=r"result\.json"):
        from_folders(tmp_path)


def test_a_record_of_a_later_format_is_refused(cells, tmp_path):
    folder = cells()
    result = json.loads((folder / "result.json").read_text()) | {"format": 99}
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(UniferumError, match="format 99"):
        from_folders(tmp_path)
