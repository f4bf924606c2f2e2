"""Net benefit: its formula case by case, and the standard error of a mean."""

import numpy as np
import pytest
from scipy.special import expit

from uniferum.evaluation.net_benefit import net_benefit


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.5])
def test_net_benefit_is_its_formula(threshold: float) -> None:
    random = np.random.default_rng(0)
    target = (random.random(200) < 0.3).astype(float)
    score = random.normal(size=200) + target - 1
    treated = expit(score) >= threshold
    odds = threshold / (1 - threshold)
    gains = np.where(treated, np.where(target > 0.5, 1.0, -odds), 0.0)
    measured = net_benefit(target, score, np.arange(200), threshold)
    assert measured.model.value == pytest.approx(gains.mean(), abs=1e-12)
    assert measured.treat_all == pytest.approx(np.where(target > 0.5, 1.0, -odds).mean(), abs=1e-12)
    half = 1.959964 * gains.std(ddof=1) / np.sqrt(200)
    assert (measured.model.lo, measured.model.hi) == pytest.approx((gains.mean() - half, gains.mean() + half), abs=1e-6)


def test_treating_everybody_is_the_model_at_a_threshold_below_all_probabilities() -> None:
    measured = net_benefit([0, 1, 1], [2.0, 3.0, 4.0], ["a", "b", "c"], 0.1)
    assert measured.model.value == pytest.approx(measured.treat_all)


def test_no_treated_case_gives_0_without_an_interval() -> None:
    result = net_benefit([0, 1, 0, 1], [-3, -3, -3, -3], ["a", "b", "c", "d"], 0.5)
    assert result.model.value == 0
    assert np.isnan([result.model.lo, result.model.hi]).all()
