"""Folds keep patients together, balance labels and leave the test split alone."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.small_stores import write_store
from uniferum.data.content import Content
from uniferum.data.folds import Folds, fold_splits, stratified
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.settings import DataConfig, OnWrongHu
from uniferum.run import RunConfig
from uniferum.run.identity import Reading
from uniferum.run.identity_keys import identity_of

SPLITS = ("train",) * 20 + ("validation",) * 6 + ("test",) * 6
LABELS = {"emphysema": [i % 3 == 0 for i in range(32)], "atelectasis": [i % 2 for i in range(32)]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store") / "ctrate"
    write_store(root, "CTRATE", SPLITS, {name: [int(v) for v in values] for name, values in LABELS.items()})
    return root


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=4), st.sets(st.sampled_from("xyz")), min_size=5, max_size=60
    ),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_folds_differ_little_in_patients_and_positives(positives: dict[str, set[str]], count: int, seed: int) -> None:
    fold_of = stratified(positives, count, seed)
    assert fold_of.keys() == positives.keys()
    assert fold_of == stratified(dict(reversed(positives.items())), count, seed), "the order of patients plays no part"
    rarest = min("xyz", key=lambda label: (sum(label in own for own in positives.values()) or 10**9, label))
    per_fold = Counter(fold_of[patient] for patient, own in positives.items() if rarest in own)
    assert max(per_fold.values(), default=0) - min((per_fold[fold] for fold in range(count)), default=0) <= 1


def test_many_patients_are_divided_evenly_for_each_label() -> None:
    positives = {
        f"p{i}": {name for k, name in enumerate("abcdef") if (i * (k + 3)) % (2 + 3 * k) == 0} for i in range(600)
    }
    fold_of = stratified(positives, 5, seed=1)
    sizes = Counter(fold_of.values())
    assert max(sizes.values()) - min(sizes.values()) <= 3
    for label in "abcdef":
        held = Counter(fold_of[patient] for patient, own in positives.items() if label in own)
        total = sum(held.values())
        assert all(abs(held[fold] - total / 5) <= max(2, 0.03 * total) for fold in range(5)), label


def test_scans_of_a_patient_stay_together_and_the_test_split_stays() -> None:
    patients = {
        "train": {f"s{i}": f"p{i // 2}" for i in range(20)},
        "validation": {f"v{i}": f"q{i}" for i in range(5)},
        "test": {"t0": "r0"},
    }
    validates = Counter()
    for index in range(5):
        splits = fold_splits(patients, {}, Folds(5, index))
        assert splits["t0"] == "test"
        assert all(splits[f"s{2 * i}"] == splits[f"s{2 * i + 1}"] for i in range(10))
        validates.update(scan for scan, split in splits.items() if split == "validation")
    assert validates == Counter([*patients["train"], *patients["validation"]]), "each scan validates once"


def test_nested_folds_test_and_validate_each_scan_once() -> None:
    patients = {"train": {f"s{i}": f"p{i}" for i in range(12)}}
    tested, validated = Counter(), Counter()
    for index in range(3):
        splits = fold_splits(patients, {}, Folds(3, index, nested=True))
        tested.update(scan for scan, split in splits.items() if split == "test")
        validated.update(scan for scan, split in splits.items() if split == "validation")
        assert "train" in splits.values()
    assert tested == validated == Counter([*patients["train"]])


@pytest.mark.parametrize("folds", [Folds(3, 0), Folds(3, 2, 5), Folds(4, 1, nested=True)])
@pytest.mark.parametrize("policy", ["keep", "exclude"])
def test_both_readers_of_a_store_divide_it_alike(store: Path, folds: Folds, policy: OnWrongHu) -> None:
    content, opened = Content.read(store), PreparedCohort.open(store)
    assert content is not None
    one, two = content.for_training(policy, folds), opened.for_training(policy, folds)
    for split in ("train", "validation", "test"):
        assert one.scans_in(split) == two.scans_in(split)
        assert one.digest(split) == two.digest(split)
        assert one.label_counts(split) == two.label_counts(split)
    assert (one.digest("test") == content.digest("test")) == (not folds.nested)
    assert opened.for_training(policy).digest("train") == opened.digest("train"), "the store itself is as it was"


def test_a_nested_test_split_is_not_the_dataset_s_own(store: Path) -> None:
    word = PreparedCohort.open(store).for_training("keep", Folds(3, 1, 7, nested=True)).split_word("test")
    assert word is not None
    assert (word.kind, word.papers, word.name) == ("own", False, "own, seed 7: fold 1 of 3, by patient")
    assert word.found == len(
        PreparedCohort.open(store).for_training("keep", Folds(3, 1, 7, nested=True)).patients("test")
    )


def _run(**data: object) -> RunConfig:
    keys = {"name": "r", "train_on": ["CTRATE"], "evaluate_on": ["CTRATE", "OTHER"], "data": data}
    return RunConfig.model_validate(keys)


def test_each_fold_is_another_training_and_runs_without_folds_stay_as_they_were(store: Path) -> None:
    stores = {"CTRATE": store}
    runs = [_run(), *(_run(folds=3, fold=fold) for fold in range(3)), _run(folds=3, fold=0, fold_seed=1)]
    prints = [Reading(stores).fingerprints(run.replace(evaluate_on=("CTRATE",))).training for run in runs]
    assert len(set(prints)) == len(prints)
    assert "folds" not in identity_of(_run())["data"]


def test_only_training_cohorts_are_divided() -> None:
    config = _run(folds=3, fold=1, fold_seed=2)
    assert (config.folds_of("CTRATE"), config.folds_of("OTHER")) == (Folds(3, 1, 2), None)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"fold": 1}, "have folds where fold"),
        ({"folds": 3, "fold": 3}, "have a fold from 0 to 2, not 3"),
        ({"folds": 2, "nested_folds": True}, "have 3 folds or more"),
    ],
)
def test_folds_that_cannot_be_are_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DataConfig.model_validate(keys)
