"""Measure how much the answers about one volume differ between prompts, to detect a model that ignores the prompt.

Such a model can still have a mean AUROC well above 0.5, because findings occur together; its answers about one volume
are then all equal.
"""

import math

import pandas as pd


def prompt_spread(predictions: pd.DataFrame) -> float:
    """Standard deviation of a volume's logits over its prompts, as root mean square over volumes.

    The mean of each prompt over the volumes is subtracted first. A model that only knows the frequency of each finding
    therefore has spread 0, like one with the same answer for every prompt.

    Args:
        predictions: columns ``volume_id``, ``label`` and ``score`` (logit).

    Returns:
        NaN if no volume has more than one prompt.
    """
    logits = predictions.pivot_table(index="volume_id", columns="label", values="score")
    variance = (logits - logits.mean()).var(axis=1, ddof=0)[logits.count(axis=1) > 1]
    return math.sqrt(variance.mean()) if len(variance) else math.nan
