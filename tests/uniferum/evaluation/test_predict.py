"""One encoding per volume for all its prompts; scores are joined with their own tasks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from uniferum.data.loading.batch import Batch
from uniferum.evaluation.predict import predict, predict_tasks
from uniferum.model.base import Model, RowOutput


class Counting(Model):
    """A volume's mean plus the prompt's number; counts its encodings."""

    tokens_shape = (1, 1, 1)
    patch = 1

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0
        self.widest = 0

    def encode(self, volume: Tensor) -> Tensor:
        self.encoded += len(volume)
        return volume.flatten(1).mean(1)

    def read(
        self,
        visual: Tensor,
        row_volume: Tensor,
        prompts: Sequence[str],
        labels: Sequence[str],
        mask_rows: Tensor | None = None,
    ) -> RowOutput:
        assert not self.training
        assert mask_rows is not None
        assert len(mask_rows) == 0
        self.widest = max(self.widest, len(prompts))
        return RowOutput(visual[row_volume] + torch.tensor([float(prompt) for prompt in prompts]), None)


def batch(first: int, prompts: int) -> Batch:
    """Two volumes of value ``first`` and ``first + 1``, each with all prompts."""
    volume = torch.stack([torch.full((1, 2, 2, 2), float(first + index)) for index in range(2)])
    rows = 2 * prompts
    return Batch(
        volume=volume,
        row_volume=torch.arange(2).repeat_interleave(prompts),
        prompts=[str(10 * prompt) for prompt in range(prompts)] * 2,
        labels=["a"] * rows,
        label_target=torch.zeros(rows),
        seg_rows=torch.zeros(0, dtype=torch.int64),
        seg_target=torch.zeros(0, 1, 1),
        task_ids=[f"v{first + index}:{prompt}" for index in range(2) for prompt in range(prompts)],
        volume_ids=[f"v{first}", f"v{first + 1}"],
    )


def test_every_volume_is_encoded_once_whatever_its_prompts() -> None:
    model = Counting()
    scores = predict(model, [batch(0, 5), batch(2, 5)], rows_at_once=3)
    assert model.encoded == 4
    assert model.widest == 3
    expected = {f"v{volume}:{prompt}": volume + 10.0 * prompt for volume in range(4) for prompt in range(5)}
    assert dict(zip(scores["task_id"], scores["score"], strict=True)) == expected
    assert scores["score"].dtype == np.float64


def test_scores_do_not_depend_on_how_many_rows_are_read_at_once() -> None:
    one, many = (predict(Counting(), [batch(0, 7)], rows_at_once=rows) for rows in (1, 64))
    pd.testing.assert_frame_equal(one, many)


def table(ids: Sequence[str], labels: Sequence[str]) -> pd.DataFrame:
    count = len(ids)
    return pd.DataFrame(
        {"task_id": ids, "cohort": ["C"] * count, "volume_id": ["C/v"] * count, "label": labels, "target": 1.0}
    )


def test_scores_of_several_workers_find_their_tasks_in_any_order() -> None:
    scores = pd.DataFrame({"task_id": ["b", "a"], "score": [2.0, 1.0]})
    predicted = predict_tasks(table(["a", "b"], ["x", "y"]), scores)
    assert predicted["score"].tolist() == [1.0, 2.0]
    assert "task_id" not in predicted


def test_labels_that_a_model_has_no_output_for_are_left_out_and_only_those() -> None:
    scores = pd.DataFrame({"task_id": ["a", "b"], "score": [np.nan, 1.0]})
    assert predict_tasks(table(["a", "b"], ["x", "y"]), scores, ["y"])["label"].tolist() == ["y"]
    # A trained label without a score means a diverged model: it stays, and scoring reports it.
    assert predict_tasks(table(["a", "b"], ["x", "y"]), scores, ["x", "y"])["score"].isna().tolist() == [True, False]


def test_a_task_that_nobody_predicted_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="every task"):
        predict_tasks(table(["a", "b"], ["x", "y"]), pd.DataFrame({"task_id": ["a"], "score": [1.0]}))


def test_nothing_to_predict_gives_an_empty_table() -> None:
    assert predict(Counting(), []).columns.tolist() == ["task_id", "score"]
