"""4,000 NIfTI and 2,000 MetaImage headers are read as nibabel and SimpleITK read them, or refused by one line.

Prints how many were equal and how many were refused, by the field that was refused.
"""

import sys
from collections import Counter

import pytest

from tests.support import metaimage_headers, nifti_headers

pytestmark = pytest.mark.hard_data


def _table(title: str, outcomes: Counter[str]) -> str:
    equal = sum(count for outcome, count in outcomes.items() if outcome.startswith("equal"))
    ours_alone = sum(count for outcome, count in outcomes.items() if outcome.endswith("reads it)"))
    lines = [f"{count:6d}  {outcome}" for outcome, count in outcomes.most_common()]
    head = f"{title}: {equal} equal, {outcomes.total() - equal} refused, {ours_alone} of these by us alone"
    return "\n".join(["", head, *lines, ""])


def test_4000_nifti_headers_are_equal_to_nibabel_or_refused(tmp_path):
    outcomes = nifti_headers.agreement(tmp_path, seed=1, count=4000)
    sys.stdout.write(_table("NIfTI headers", outcomes))
    assert outcomes.total() == 4000
    assert sum(count for outcome, count in outcomes.items() if outcome.startswith("equal")) > 2000


def test_2000_metaimage_headers_are_equal_to_simpleitk_or_refused(tmp_path):
    outcomes = metaimage_headers.agreement(tmp_path, seed=1, count=2000)
    sys.stdout.write(_table("MetaImage headers", outcomes))
    assert outcomes.total() == 2000
    assert sum(count for outcome, count in outcomes.items() if outcome.startswith("equal")) > 1000
