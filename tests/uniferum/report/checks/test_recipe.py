"""A cell counts as a row of the paper only where it is trained as the paper's row."""

from pathlib import Path
from typing import Any

import pytest

from uniferum.config import load_yaml, merge
from uniferum.data.provenance import SplitWord
from uniferum.report.checks.comparability import JudgedColumn, compare
from uniferum.report.checks.margins import Margins
from uniferum.report.checks.recipe import recipe_differences, volume_batch
from uniferum.report.records import CellRecord
from uniferum.run import RunConfig

BASE = Path(__file__).resolve().parents[4] / "configs" / "base.yaml"
JUDGED = JudgedColumn("CTRATE", "all", "cardiomegaly", 100, 1, 1)


def _record(changes: dict[str, Any], *, kind: str = "uniferum", train_on: tuple[str, ...] = ("CTRATE",)) -> CellRecord:
    keys = {"name": "c", "train_on": list(train_on), "model": {"kind": kind}}
    config = RunConfig.model_validate(merge(merge(load_yaml(BASE), keys), changes)).model_dump(mode="json")
    word = SplitWord(kind="official", papers=True, found=100, expected=100).model_dump(mode="json")
    result = {"test_splits": {"CTRATE": word}}
    return CellRecord("c", kind, "pubmedbert", train_on, 0, Path("c"), result, config=config)


def test_the_shipped_recipe_is_the_papers():
    assert recipe_differences(_record({}, train_on=("CTRATE", "SEG"))) == []
    alone = _record({"training": {"steps": 10000}}, train_on=("INSPECT",))
    assert recipe_differences(alone) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"optim": {"lr": 1e-4}}, ["optim.lr 0.0001"]),
        ({"sampling": {"label_count": 4}}, ["sampling.label_count 4"]),
        ({"training": {"steps": 50000}}, ["training.steps 50000"]),
        ({"sampling": {"luna_factor": 0}}, []),
    ],
)
def test_a_key_with_another_value_is_named(changes: dict[str, Any], named: list[str]):
    assert recipe_differences(_record(changes)) == named


def test_keys_of_masks_count_with_masks_and_the_cnns_unstated_ones_never():
    assert recipe_differences(_record({"sampling": {"luna_factor": 0}}, train_on=("CTRATE", "SEG")))
    assert recipe_differences(_record({"optim": {"lr": 1e-3}}, kind="cnn")) == []


def test_a_batch_of_volumes_is_a_remark():
    fast = _record({"training": {"batch": 24, "micro_batch": None, "micro_batch_volumes": 8}})
    assert recipe_differences(fast) == []
    assert volume_batch(fast) == "batch of 24 volumes; the paper's is 64 rows"


def test_a_variant_is_not_compared_with_the_paper():
    compared = compare(JUDGED, [_record({"optim": {"lr": 1e-4}})], Margins({"auroc": 0.02}))
    assert "differs from the paper in: optim.lr 0.0001" in compared.incomparable
    assert "differs from" not in compare(JUDGED, [_record({})], Margins({"auroc": 0.02})).incomparable
