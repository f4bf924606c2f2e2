"""Predict tasks: encode every volume once, then read all its prompts from that encoding.

With k prompts per volume this needs one encoder pass instead of k. Scores are logits, float64 in the table.
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

# Limits the memory of attention over (tokens + prompt) x rows, without effect on the result. A CPU is fastest while the
# states of the widest layer fit into its cache, a GPU needs more rows to be busy.
ROWS_AT_ONCE = {"cpu": 16}
ROWS_ELSEWHERE = 64

Also = Callable[[Model, Tensor, Batch, int], None]
"""Function of model, encodings of a batch, the batch and the number of rows to read at once."""


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
        model: any compared system; it is in evaluation mode afterwards.
        batches: volumes with their rows, each volume in one batch only.
        device: the device of the model.
        autocast: makes the autocast context; default: float32.
        rows_at_once: number of prompts per pass over the fusion layers; None: a value for the device.
        also: called after each batch, to read other rows of its volumes from the same encodings.

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
    """Join scores with their tasks: the columns of ``predictions.parquet``, in the order of the task table.

    Args:
        table: classification tasks with ``task_id``; each must have a score.
        scores: results of :func:`predict`, of one worker or of several.
        outputs: the trained labels. Other labels may have NaN scores, from a model with one output per label; such
            tasks are left out, because the model cannot answer them.
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
