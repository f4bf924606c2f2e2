"""The TotalSegmentator masks of one scan: a bad one leaves its scan out, and does not end the cohort."""

from collections.abc import Callable
from pathlib import Path

from uniferum.data.cohorts import totalsegmentator
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource


class BadMask(Exception):
    """A mask that cannot be read; its scan is left out rather than kept without it."""


def beside(root: Path, masks_root: Path | None, scan_id: str, *, follow_symlinks: bool) -> tuple[MaskSource, ...]:
    """The masks of a scan below ``masks_root``: one layer, or none.

    Raises:
        BadMask: they are no masks.
        UniferumError: version 1 of TotalSegmentator made them, and so the others too.
    """
    return _one(lambda: totalsegmentator.beside(root, masks_root, scan_id, follow_symlinks=follow_symlinks))


def layer_at(path: Path) -> tuple[MaskSource, ...]:
    """The layer of a file or folder, or none; raises as :func:`beside`."""
    return _one(lambda: totalsegmentator.layer_at(path))


def _one(find: Callable[[], MaskSource | None]) -> tuple[MaskSource, ...]:
    try:
        found = find()
    except UniferumError as error:
        if error.cure == totalsegmentator.V1_CURE:
            raise
        raise BadMask(f"mask: must {error.must}") from None
    except OSError:  # a folder that may not be entered
        raise BadMask("mask: path cannot be read") from None
    return () if found is None else (found,)
