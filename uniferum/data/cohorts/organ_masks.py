"""TotalSegmentator masks of one scan; a bad mask excludes its scan, without stopping the cohort."""

from collections.abc import Callable
from pathlib import Path

from uniferum.data.cohorts import totalsegmentator
from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import MaskSource


class BadMask(Exception):
    """A mask that cannot be read; its scan is excluded, not kept without the mask."""


def beside(root: Path, masks_root: Path | None, scan_id: str, *, follow_symlinks: bool) -> tuple[MaskSource, ...]:
    """Mask layer of a scan below ``masks_root``, if there is one.

    Raises:
        BadMask: the files are not masks.
        UniferumError: they come from version 1 of TotalSegmentator, and so do the others.
    """
    return _one(lambda: totalsegmentator.beside(root, masks_root, scan_id, follow_symlinks=follow_symlinks))


def layer_at(path: Path) -> tuple[MaskSource, ...]:
    """The layer of a file or folder, if there is one; raises as :func:`beside`."""
    return _one(lambda: totalsegmentator.layer_at(path))


def _one(find: Callable[[], MaskSource | None]) -> tuple[MaskSource, ...]:
    try:
        mask = find()
    except UniferumError as error:
        if error.cure == totalsegmentator.V1_CURE:
            raise
        raise BadMask(f"mask: must {error.must}") from None
    except OSError:  # a folder without permission
        raise BadMask("mask: path cannot be read") from None
    return () if mask is None else (mask,)
