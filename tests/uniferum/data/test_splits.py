"""A store whose splits do not fit is refused in one line, by the tables of a plan as by those of a run."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.support.small_stores import write_store
from uniferum.data.content import Content
from uniferum.data.folds import Folds
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.data.splits import refuse_folds, refuse_splits
from uniferum.errors import UniferumError

Opened = Content | PreparedCohort


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_store(tmp_path / "s", "CTRATE", ("train", "train", "test"), {"emphysema": [0, 1, 1]})
    return tmp_path / "s"


@pytest.fixture(params=["plan", "run"])
def opened(request: pytest.FixtureRequest, store: Path) -> Callable[[], Opened]:
    """Opens the store as it is then."""

    def go() -> Opened:
        content = Content.read(store) if request.param == "plan" else PreparedCohort.open(store)
        assert content is not None
        return content

    return go


def _change(store: Path, table: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(store / table)).to_parquet(store / table, index=False)


def test_a_store_with_the_splits_that_are_needed_is_taken(opened: Callable[[], Opened]) -> None:
    refuse_splits(opened(), ("train", "test"))
    refuse_splits(opened(), ())


def test_a_needed_split_without_a_scan_is_refused_with_the_counts(opened: Callable[[], Opened]) -> None:
    with pytest.raises(UniferumError) as caught:
        refuse_splits(opened(), ("train", "validation"))
    assert "splits (train 2, validation 0, test 1) must hold a validation scan to select on" in str(caught.value)
    assert "uniferum data prepare COHORT.yaml --out" in str(caught.value)


def test_another_datasets_word_for_a_split_is_refused_with_ours(opened: Callable[[], Opened], store: Path) -> None:
    _change(store, "manifest.parquet", lambda table: table.assign(split=table["split"].replace("test", "valid")))
    with pytest.raises(UniferumError, match=r"split \(valid\) must be a known split; did you mean 'validation'"):
        refuse_splits(opened(), ("train",))


def test_labels_of_scans_that_the_manifest_does_not_name_are_refused(opened: Callable[[], Opened], store: Path) -> None:
    _change(store, "manifest.parquet", lambda table: table[table["scan_id"] != "s001"])
    with pytest.raises(UniferumError, match=r"1 scans with labels are not in manifest.parquet, e.g. s001"):
        refuse_splits(opened(), ("train",))


def test_a_scan_in_two_splits_is_refused(store: Path) -> None:
    _change(store, "manifest.parquet", lambda table: pd.concat([table, table[:1].assign(split="test")]))
    assert Content.read(store) is None, "the plan leaves the word to who opens the store"
    with pytest.raises(UniferumError, match=r"manifest.parquet: scan_id \(s000\) must occur once"):
        PreparedCohort.open(store)


def test_a_manifest_that_does_not_say_which_scans_have_masks_is_named(store: Path) -> None:
    _change(store, "manifest.parquet", lambda table: table.drop(columns="layers"))
    opened = Content.read(store)
    assert opened is not None
    with pytest.raises(UniferumError, match=r"manifest.parquet: layers must list the masks of each scan"):
        _ = opened.layers_of


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "must be valid JSON"), ("[1]", "must be a mapping"), ('{"test": {"kind": "official"}}', "test: found")],
)
def test_damaged_words_on_splits_are_found_by_a_plan_and_named_by_a_run(store: Path, text: str, said: str) -> None:
    (store / "splits.json").write_text(text)
    assert Content.read(store) is None, "so that the plan opens it as a run does"
    with pytest.raises(UniferumError, match=rf"splits\.json.*{said}"):
        PreparedCohort.open(store)


def test_folds_of_as_many_patients_as_a_cohort_has_are_taken(opened: Callable[[], Opened]) -> None:
    refuse_folds(opened(), Folds(2, 0))
    with pytest.raises(UniferumError, match=r"patients to divide \(2\) must be at least the number of folds \(3\)"):
        refuse_folds(opened(), Folds(3, 0))
    refuse_folds(opened(), Folds(3, 0, nested=True))


@pytest.mark.parametrize(
    ("word", "refused"),
    [
        ({"kind": "official"}, "official"),
        ({"kind": "own"}, "own"),
        ({"kind": "own", "seed": 3}, ""),
        ({"kind": "paper_sized", "seed": 0}, ""),
    ],
)
def test_nested_folds_do_not_divide_a_test_split_that_is_given(
    opened: Callable[[], Opened], store: Path, word: dict[str, object], refused: str
) -> None:
    (store / "splits.json").write_text(json.dumps({"test": {**word, "found": 1}}))
    refuse_folds(opened(), Folds(2, 0))
    if not refused:
        refuse_folds(opened(), Folds(3, 0, nested=True))
        return
    said = rf"test split \(1 scans\) must not be divided by nested folds: the split is given \({refused}\), not drawn"
    with pytest.raises(UniferumError, match=said):
        refuse_folds(opened(), Folds(3, 0, nested=True))
