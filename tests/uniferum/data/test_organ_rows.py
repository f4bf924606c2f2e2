"""When masks that are missing stop a training, and when they are only counted."""

import pytest

from uniferum.data.organ_rows import MaskRows, masks_command


@pytest.mark.parametrize(
    ("wanted", "rows", "scans", "without", "missing"),
    [
        (0, 0, 50, 50, False),  # organ_share: 0
        (40, 40, 50, 0, False),
        (40, 0, 50, 50, True),
        (40, 12, 50, 40, True),
        (40, 40, 50, 3, False),  # each row still has a scan of its own
        (40, 40, 50, 20, True),  # some scans serve twice though there are 50
        (3216, 3216, 2286, 6, False),  # RAD-ChestCT with six scans that could not be segmented: twice, as before
        (3216, 3216, 2286, 700, True),
        (500, 480, 50, 0, False),  # the scans hold no more organs
        (40, 0, 50, 0, True),  # every mask is empty
    ],
)
def test_organ_masks_are_missing_where_rows_are_or_scans_serve_oftener(
    wanted: int, rows: int, scans: int, without: int, missing: bool
) -> None:
    assert MaskRows("X", "organ", wanted, rows, scans, without).missing == missing


@pytest.mark.parametrize(("rows", "missing"), [(0, True), (10, False), (6010, False)])
def test_nodule_masks_are_missing_only_where_no_scan_has_one(rows: int, missing: bool) -> None:
    assert MaskRows("LUNA16", "nodule", 6010, rows, 601, 601 - rows // 10).missing == missing


def test_a_command_is_for_the_folder_that_the_store_was_made_from_and_can_be_pasted() -> None:
    card = {"config": "my configs/i.yaml", "root": "/data/my INSPECT"}
    assert masks_command("INSPECT", "organ", card, "s3://b/inspect") == (
        "uniferum data segment 'my configs/i.yaml' --root '/data/my INSPECT' ; "
        "uniferum data prepare 'my configs/i.yaml' --root '/data/my INSPECT' --out s3://b/inspect"
    )
    luna = "uniferum data prepare configs/cohorts/luna16.yaml --out luna"
    assert masks_command("LUNA16", "nodule", {}, "luna") == luna
