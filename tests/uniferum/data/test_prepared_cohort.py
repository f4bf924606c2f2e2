from pathlib import Path

import numpy as np
import pytest

from tests.support.small_stores import SMALL, organs, write_store
from uniferum.data.prepared_cohort import PreparedCohort
from uniferum.errors import UniferumError


def test_the_values_of_a_mask_are_those_that_occur_in_it(tmp_path: Path) -> None:
    masks = {"totalsegmentator": {0: organs(0), 1: organs(7)}, "nodule": {1: np.zeros(SMALL.level_shape, np.uint8)}}
    cohort = write_store(tmp_path / "store", "CTRATE", ["train", "test"], {"emphysema": [1, 0]}, masks=masks)
    assert cohort.layers_of == {"s000": ("totalsegmentator",), "s001": ("nodule", "totalsegmentator")}
    for number in (0, 1):
        expected = set(np.unique(organs(number * 7)).tolist()) - {0}
        assert cohort.present(f"s{number:03d}", "totalsegmentator") == expected
    assert cohort.present("s001", "nodule") == frozenset()


def test_an_unfinished_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match="must be a prepared store"):
        PreparedCohort.open(tmp_path)


def test_a_store_without_a_scan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match=r"must hold at least one prepared scan; see its failures\.csv"):
        write_store(tmp_path / "store", "CTRATE", [], {})


def test_patients_of_a_split_come_sorted_by_scan(tmp_path: Path) -> None:
    cohort = write_store(tmp_path / "store", "CTRATE", ["test", "train", "test"], {"emphysema": [1, 0, None]})
    assert cohort.patients("test") == {"s000": "p000", "s002": "p002"}
    assert cohort.known() == [("s000", "emphysema", 1), ("s001", "emphysema", 0)]
