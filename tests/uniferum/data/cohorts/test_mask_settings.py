"""A mask column says in one way how its file is read."""

from pathlib import Path
from typing import Any

import pytest

from tests.uniferum.data.cohorts.test_folder_cohort import root, write
from uniferum.errors import UniferumError

__all__ = ["root"]


def masks(**keys: Any) -> list[dict[str, Any]]:
    return [{"path": "mask", "kinds": {"all": {"structure": "lungs", **keys}}}]


@pytest.mark.parametrize(("value", "known"), [(3, 3), ([3, 4], (3, 4))])
def test_one_value_or_several_may_make_a_layer(root: Path, value: Any, known: Any) -> None:
    rows: list[list[object]] = [["a", "a.nii.gz", "p1", "train", 1, "", "masks/a.nii"]]
    (scan,) = write(root, rows, masks=masks(value=value)).scans()
    assert scan.source.masks[0].value == known


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"value": 1, "threshold": 0.5}, "value or threshold, not both"),
        ({"structure": "totalsegmentator", "threshold": 0.5}, "remove threshold"),
        ({"structure": "totalsegmentator", "value": 5}, "remove value"),
        ({"threshold": float("nan")}, "finite"),
        ({"value": []}, "at least one value"),
    ],
)
def test_what_cannot_be_meant_is_refused(root: Path, keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(UniferumError, match=reason):
        write(root, [], masks=masks(**keys))
