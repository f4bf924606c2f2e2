"""Adjusted p values against worked examples and SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from uniferum.evaluation.multiple_testing import benjamini_hochberg, holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_rejects_four_of_the_fifteen_hypotheses_of_its_paper():
    # Benjamini and Hochberg (1995), section 3.1: at 0.05 their procedure rejects the first four, Bonferroni three.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert (benjamini_hochberg(p) <= 0.05).sum() == 4
    assert (holm(p) <= 0.05).sum() == 3


@given(p_values)
def test_benjamini_hochberg_equals_scipy(p):
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), atol=1e-12)


@given(p_values)
def test_holm_is_never_kinder_than_benjamini_hochberg_and_never_harsher_than_bonferroni(p):
    strict, lenient = holm(p), benjamini_hochberg(p)
    assert (strict >= lenient - 1e-12).all()
    assert (strict <= np.minimum(np.array(p) * len(p), 1) + 1e-12).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_a_missing_test_stays_missing_and_does_not_count(adjust):
    np.testing.assert_allclose(
        adjust([0.01, np.nan, 0.04]), [*adjust([0.01, 0.04])[:1], np.nan, adjust([0.01, 0.04])[1]]
    )
