"""Random headers, sound and damaged, are read as nibabel and SimpleITK read them, or refused; never another number.

The short form of ``tests/hard_data/test_fuzz_headers.py``.
"""

from tests.support import metaimage_headers, nifti_headers


def test_150_nifti_headers_are_equal_to_nibabel_or_refused(tmp_path):
    outcomes = nifti_headers.agreement(tmp_path, seed=0, count=150)
    assert sum(count for outcome, count in outcomes.items() if outcome.startswith("equal")) > 75


def test_150_metaimage_headers_are_equal_to_simpleitk_or_refused(tmp_path):
    outcomes = metaimage_headers.agreement(tmp_path, seed=0, count=150)
    assert sum(count for outcome, count in outcomes.items() if outcome.startswith("equal")) > 75
