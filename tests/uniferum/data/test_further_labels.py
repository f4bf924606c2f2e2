"""A run trains on all labels of a dataset only if it asks for them; every other run stays as it was."""

from pathlib import Path

import pytest

from tests.support.small_stores import write_store
from uniferum.data.content import Content
from uniferum.data.further_labels import further_columns, with_further
from uniferum.data.phantom.layout_duke import ABNORMALITIES
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.tasks import classification_tasks, evaluation_tasks, trainable_labels
from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.run.config import RunConfig
from uniferum.run.identity import fingerprints

SPLITS = ("train", "train", "validation", "test")
LABELS = {"atelectasis": (0, 1, 1, 0), "cabg": (1, 0, None, 1)}
MORE = {"radchest_lymphadenopathy": (1, 0, 1, 1), "radchest_gi_tube": (0, 1, 0, 1)}


def _store(path: Path, further: bool = True) -> PreparedCohort:
    cohort = write_store(path, "RADCHEST", SPLITS, LABELS)
    rows = [
        {"scan_id": scan, "label": label, "value": value}
        for label, values in MORE.items()
        for scan, value in zip(cohort.scans["scan_id"], values, strict=True)
    ]
    store = cohort.store
    records = cohort.store.labels().to_dict("records")
    store.finish(store.manifest().to_dict("records"), records, [], {}, further=rows if further else ())  # pyright: ignore[reportArgumentType]
    return PreparedCohort.open(path)


def _config(labels: str, kind: str = "cnn_draelos") -> RunConfig:
    keys = {"name": "c", "train_on": ["RADCHEST"], "evaluate_on": ["RADCHEST"]}
    return RunConfig.model_validate({**keys, "model": {"kind": kind}, "sampling": {"labels": labels}})


def test_with_the_papers_39_they_are_the_releases_tokens_without_other_path():
    words = with_further(Vocabulary.load(), "RADCHEST")
    assert sorted(words.columns("RADCHEST").values()) == sorted({*ABNORMALITIES} - {"other_path"})
    assert len(words.trainable("RADCHEST")) == 83


def test_no_further_label_is_one_of_the_vocabulary():
    assert not further_columns("RADCHEST").keys() & Vocabulary.load().labels.keys()


def test_all_labels_train_and_select_and_the_papers_are_tested(tmp_path):
    cohort = _store(tmp_path).with_further_labels()
    assert {*MORE, *LABELS} <= {*trainable_labels(cohort)}
    for split in ("train", "validation"):
        assert {*classification_tasks(cohort, split, trainable_labels(cohort))["label"]} > {*MORE}
    assert {*evaluation_tasks(cohort, "test")["label"]} == {*LABELS}


def test_a_run_on_the_papers_labels_does_not_see_whether_a_store_has_more(tmp_path):
    config = _config("paper")
    _store(tmp_path / "few", further=False)
    _store(tmp_path / "all")
    few, every = (fingerprints(config, {"RADCHEST": tmp_path / name}) for name in ("few", "all"))
    assert few == every


def test_content_and_cohort_have_the_same_digests(tmp_path):
    cohort, content = _store(tmp_path), Content.read(tmp_path)
    assert content is not None
    more, same = content.with_further_labels(), cohort.with_further_labels()
    assert [more.digest(s) for s in ("train", "validation", "test")] == [same.digest(s) for s in SPLITS[1:]]
    assert more.digest("train") != content.digest("train")
    assert more.digest("test") == content.digest("test")
    assert more.label_counts("train") == same.label_counts("train")


def test_a_store_without_them_says_how_to_add_them(tmp_path):
    cohort, content = _store(tmp_path, further=False), Content.read(tmp_path)
    assert content is not None
    for opened in (cohort, content):
        with pytest.raises(UniferumError, match=r"further_labels.parquet must exist.*prepare the cohort again"):
            opened.with_further_labels()


def test_only_the_system_of_the_83_labels_trains_on_them():
    _config("all")
    with pytest.raises(ValueError, match="cnn_draelos alone trains on all"):
        _config("all", "ct_net")
