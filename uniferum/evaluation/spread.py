"""How far a model's answers about one volume differ between prompts: whether it reads the prompt at all.

A model that ignores the prompt can still have a mean AUROC well above 0.5, because findings occur together; its answers
about one volume are then all the same.
"""

import math

import pandas as pd


def prompt_spread(predictions: pd.DataFrame) -> float:
    """Standard deviation of one volume's logits over its prompts, root mean square over volumes.

    Each prompt's mean over the volumes is taken off first, so that a model which only knows how frequent a finding is
    has spread 0, as has one that gives every prompt the same answer.

    Args:
        predictions: columns ``volume_id``, ``label`` and ``score`` (logit).

    Returns:
        NaN where no volume was asked more than one prompt.
    """
    logits = predictions.pivot_table(index="volume_id", columns="label", values="score")
    variance = (logits - logits.mean()).var(axis=1, ddof=0)[logits.count(axis=1) > 1]
    return math.sqrt(variance.mean()) if len(variance) else math.nan
