"""Seeds and folds of one number: the seeds of a fold are averaged first, so that a fold counts once."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from uniferum.data.folds import Folds
from uniferum.report.records import Score


@dataclass(frozen=True)
class Repeats:
    """The repetitions of one number.

    Attributes:
        scores: one for each fold, the mean over its seeds; without folds one for each seed.
        seeds: number of seeds, of the fold that has most.
        folds: number of folds with a score; 0 without folds.
        total: number of folds of the division; 0 without folds.
        nested: whether each fold is tested on other patients.
        mixed: whether cells with other divisions, or without folds, are among them.
    """

    scores: tuple[Score, ...]
    seeds: int
    folds: int = 0
    total: int = 0
    nested: bool = False
    mixed: bool = False

    def counted(self, counts: Iterable[int]) -> int:
        """Number of cases or patients of all scores: the sum over nested folds, else that of the largest."""
        return sum(counts) if self.nested else max(counts)


def by_fold(scores: Sequence[Score]) -> Repeats:
    """Group the scores of one number by fold.

    Args:
        scores: one for each seed and fold.
    """
    measured = sum(math.isfinite(score.value) for score in scores)
    folds = [score.folds for score in scores if score.folds is not None]
    divisions = {None if score.folds is None else score.folds.division for score in scores}
    if not folds or len(divisions) > 1:
        return Repeats(tuple(scores), measured, mixed=len(divisions) > 1)
    of_fold: dict[Folds, list[Score]] = {}
    for score, fold in zip(scores, folds, strict=True):
        of_fold.setdefault(fold, []).append(score)
    first = folds[0]
    known = Counter(score.folds for score in scores if math.isfinite(score.value))
    if len(of_fold) == 1:
        return Repeats(tuple(scores), measured, len(known), first.count)
    means = tuple(_mean(seeds) for _, seeds in sorted(of_fold.items(), key=lambda one: one[0].index))
    return Repeats(means, max(known.values(), default=0), len(known), first.count, first.nested)


def _mean(seeds: Sequence[Score]) -> Score:
    """The mean over the seeds of a fold, with the mean interval over cases."""
    known = [score for score in seeds if math.isfinite(score.value)]
    if len(known) < 2:
        return known[0] if known else seeds[0]
    value, lo, hi, corrected = (fmean(getattr(score, name) for score in known) for name in NUMBERS)
    return replace(known[0], value=value, lo=lo, hi=hi, corrected=corrected, delong_lo=math.nan, delong_hi=math.nan)


NUMBERS = ("value", "lo", "hi", "corrected")
