"""Compare our metrics and losses with MONAI's and scikit-learn's: last digits, processor time, imports.

    OMP_NUM_THREADS=1 python benchmarks/library_functions.py

Times are processor seconds of one thread, the smallest of five; docs/explanation/decisions.md has the result.
"""

import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from uniferum.data.report_labels.agreement import kappa
from uniferum.evaluation.calibration import brier, probability, reliability
from uniferum.evaluation.curves import average_precision, curve
from uniferum.training.loss import focal_loss

SCANS, STRUCTURES, GRID = 3000, 60, (32, 20, 16)
TABLES = 200


def main() -> None:
    """Run every comparison."""
    warnings.simplefilter("ignore")
    began = time.process_time()
    from sklearn import metrics
    from sklearn.calibration import calibration_curve

    _say("import sklearn.metrics", f"{time.process_time() - began:.1f} s")
    before, began = _peak_mb(), time.process_time()
    from monai.losses.focal_loss import sigmoid_focal_loss
    from monai.metrics import compute_dice

    _say("import monai.metrics after it", f"{time.process_time() - began:.1f} s, {_peak_mb() - before:.0f} MB")
    compare_masks(compute_dice, sigmoid_focal_loss)
    compare_scores(metrics, calibration_curve)


def compare_masks(compute_dice: Callable[..., Any], their_loss: Callable[..., Any]) -> None:
    """Dice from counts, and the focal loss, of 60 structures on the grid of the model's masks."""
    random = torch.Generator().manual_seed(0)
    logit = 3 * torch.randn(1, STRUCTURES, *GRID, generator=random)
    target = (torch.rand(1, STRUCTURES, *GRID, generator=random) < 0.02).float()
    drawn, truth = logit > 0, target > 0

    def counted() -> torch.Tensor:
        return torch.stack([mask[0].flatten(1).sum(1) for mask in (truth, drawn, truth & drawn)], dim=1)

    counts = counted().double()
    ours = 2 * counts[:, 2] / (counts[:, 0] + counts[:, 1])
    theirs = compute_dice(drawn.float(), truth.float(), include_background=True)[0]
    _say("Dice, equal as float64", _share(ours, theirs.double()))
    _say("Dice, equal as float32", _share(ours.float(), theirs))
    _say("Dice, time", _ratio(counted, lambda: compute_dice(drawn.float(), truth.float(), include_background=True)))

    def our_loss(logits: torch.Tensor) -> torch.Tensor:
        return focal_loss(logits, target, alpha=0.25, gamma=2.0)

    def monai_loss(logits: torch.Tensor) -> torch.Tensor:
        return their_loss(logits, target, alpha=0.25, gamma=2.0)

    _say("focal loss, equal elements", _share(our_loss(logit), monai_loss(logit)))
    _say("focal loss, time with backward", _ratio(*(lambda f=f: _backward(f, logit) for f in (our_loss, monai_loss))))
    fractions = torch.rand(logit.shape, generator=random)
    apart = focal_loss(logit, fractions, alpha=0.25, gamma=2.0) - their_loss(logit, fractions, alpha=0.25, gamma=2.0)
    _say("focal loss of fractional targets, largest difference", f"{apart.abs().max():.2f}")


def compare_scores(metrics: Any, calibration_curve: Callable[..., Any]) -> None:
    """Curves, average precision, calibration and kappa: time at 3,000 scans, last digits of 200 tables of 300."""
    target, score = _drawn(np.random.default_rng(0), SCANS)
    pairs = {
        "ROC curve": (lambda: curve(target, score), lambda: metrics.roc_curve(target, score)),
        "average precision": (
            lambda: average_precision(target, score),
            lambda: metrics.average_precision_score(target, score),
        ),
        "Brier score": (
            lambda: brier(target, score),
            lambda: metrics.brier_score_loss(target, probability(score)),
        ),
        "reliability": (
            lambda: reliability(target, score),
            lambda: calibration_curve(target, probability(score), n_bins=15),
        ),
    }
    for name, (ours, theirs) in pairs.items():
        _say(f"{name}, time", _ratio(ours, theirs))
    other = dict.fromkeys(("ROC curve", "average precision", "Brier score", "reliability", "kappa"), 0)
    for seed in range(TABLES):
        target, score = _drawn(np.random.default_rng(seed), 300)
        guess = (np.random.default_rng(seed + TABLES).random(300) < 0.3).astype(int)
        points, bins = curve(target, score), reliability(target, score)
        false, true, _ = metrics.roc_curve(target, score, drop_intermediate=False)
        observed, predicted = calibration_curve(target, probability(score), n_bins=15)
        other["ROC curve"] += not _same(points.false_positive_rate, false[1:], points.sensitivity, true[1:])
        other["reliability"] += not _same(bins.observed, observed, bins.predicted, predicted)
        other["average precision"] += average_precision(target, score) != metrics.average_precision_score(target, score)
        other["Brier score"] += brier(target, score) != metrics.brier_score_loss(target, probability(score))
        both = zip(target.astype(int).tolist(), guess.tolist(), strict=True)
        other["kappa"] += kappa(both) != metrics.cohen_kappa_score(target, guess)
    for name, count in other.items():
        _say(f"{name}, other last digits", f"{count} of {TABLES}")


def _drawn(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    target = (random.random(n) < 0.2).astype(float)
    return target, np.round(random.normal(size=n) + target, 2)


def _same(*arrays: np.ndarray) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays[::2], arrays[1::2], strict=True))


def _share(ours: torch.Tensor, theirs: torch.Tensor) -> str:
    return f"{(ours == theirs).double().mean():.0%}"


def _backward(loss: Callable[[torch.Tensor], torch.Tensor], logit: torch.Tensor) -> None:
    leaf = logit.clone().requires_grad_()
    loss(leaf).sum().backward()


def _ratio(ours: Callable[[], Any], theirs: Callable[[], Any]) -> str:
    own, other = _seconds(ours), _seconds(theirs)
    return f"ours {own * 1e3:.2f} ms, theirs {other * 1e3:.2f} ms: {other / own:.1f} times"


def _seconds(call: Callable[[], Any], repeats: int = 5) -> float:
    call()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(name: str, text: str) -> None:
    sys.stdout.write(f"{name:<52} {text}\n")


if __name__ == "__main__":
    main()
