"""Predictions: every volume is encoded once, and all its prompts read that one encoding.

With k prompts a volume this costs one encoder pass instead of k. Scores are logits, float64 in the table.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from uniferum.data.loading.batch import Batch
from uniferum.model.base import Model
from uniferum.model.folding import folded
from uniferum.model.speed.malloc import kept_memory

# Rows read at once bound the memory of attention over (tokens + prompt) x rows; the result does not depend on them. A
# CPU is fastest where the widest layer's states still fit its cache, a GPU where its cores are busy.
ROWS_AT_ONCE = {"cpu": 16}
ROWS_ELSEWHERE = 64

Also = Callable[[Model, Tensor, Batch, int], None]
"""Given the model, a batch's encodings, the batch and how many rows to read at once: what else is read from them."""


@torch.inference_mode()
def predict(
    model: Model,
    batches: Iterable[Batch],
    *,
    device: torch.device | str = "cpu",
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    rows_at_once: int | None = None,
    also: Also | None = None,
) -> pd.DataFrame:
    """Predict the classification rows of all batches.

    Args:
        model: any compared system; left in evaluation mode.
        batches: volumes with their rows, each volume in one batch only.
        device: where the model lies.
        autocast: makes the context that sets the number format; float32 without.
        rows_at_once: how many prompts are read in one pass over the fusion layers; None: what suits the device.
        also: asked after each batch, so that other rows of its volumes cost no second encoding.

    Returns:
        Columns ``task_id`` and ``score`` (logit, float64), in the order of the batches.
    """
    model.eval()
    names: list[str] = []
    scores: list[np.ndarray] = []
    rows = rows_at_once or ROWS_AT_ONCE.get(torch.device(device).type, ROWS_ELSEWHERE)
    with folded(model), kept_memory(torch.device(device).type == "cpu"):
        for batch in batches:
            moved = batch.to(device)
            with autocast():
                visual = model.encode(moved.volume)
                logits = [part.float().cpu().numpy() for part in _read(model, visual, moved, rows)]
                if also is not None:
                    also(model, visual, moved, rows)
            names.extend(moved.task_ids)
            scores.extend(logits)
    score = np.concatenate(scores).astype(np.float64) if scores else np.zeros(0)
    return pd.DataFrame({"task_id": names, "score": score})


def predict_tasks(table: pd.DataFrame, scores: pd.DataFrame, outputs: Collection[str] = ()) -> pd.DataFrame:
    """Put scores beside their tasks: the columns of ``predictions.parquet``, in the order of the task table.

    Args:
        table: classification tasks with ``task_id``; each must have a score.
        scores: what :func:`predict` gave, of one worker or of several.
        outputs: labels that were trained. A label outside of them may have NaN scores, from a model with one output a
            label; such tasks are left out: that model does not answer them.
    """
    kept = [name for name in PREDICTION_COLUMNS if name in table.columns]
    joined = table[["task_id", *kept]].merge(scores, on="task_id", how="left", validate="one_to_one", indicator=True)
    assert joined["_merge"].eq("both").to_numpy().all(), "every task has been predicted"
    unanswered = joined["score"].isna() & ~joined["label"].isin(list(outputs))
    return joined.loc[~unanswered].drop(columns=["task_id", "_merge"]).reset_index(drop=True)


PREDICTION_COLUMNS = (
    "cohort",
    "split",
    "volume_id",
    "scan_id",
    "study_id",
    "patient_id",
    "label",
    "group",
    "kind",
    "target",
)


def _read(model: Model, visual: Tensor, batch: Batch, rows_at_once: int) -> Iterator[Tensor]:
    no_masks = torch.zeros(0, dtype=torch.int64, device=visual.device)
    for start in range(0, batch.rows, rows_at_once):
        rows = slice(start, start + rows_at_once)
        output = model.read(visual, batch.row_volume[rows], batch.prompts[rows], batch.labels[rows], no_masks)
        yield output.class_logit
