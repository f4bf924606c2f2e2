"""Where a mask lies: on its own grid by its own header, held against the header of its scan.

Invariant: two headers that contradict each other are never reconciled by a guess. A mask of its scan's shape on another
grid is refused; a grid of its own (another spacing, a part of the scan) is fine where it overlaps the scan.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.source import Affine
from uniferum.preprocessing.volume import Volume, reorient_array, spacing_of

# A grid of the scan's shape is the scan's where no corner lies further aside than this, in voxels of the scan: rounded
# spacings drift so far over 512 voxels.
SAME_VOXELS = 0.25
# Up to here (half a voxel: another idea of where a voxel's middle is) it is flagged and kept; beyond it (a slice too
# many or too few) it is refused.
MAX_SHIFT_VOXELS = 0.75
# A header that says nothing: voxels of 1 mm, the first at 0. In mm.
_UNIT_MM = 1e-3


@dataclass(frozen=True)
class Placed:
    """A mask in RAS+ axes.

    Attributes:
        ids: its voxels.
        affine: 4 x 4, voxel index to RAS mm.
        shift_mm: how far its grid lies beside its scan's, where the two are meant to be one; 0 where they are.
    """

    ids: UInt8[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    shift_mm: float = 0.0


def place(
    as_stored: UInt8[np.ndarray, "a b c"],
    affine: Float[np.ndarray, "4 4"],
    *,
    blank: bool,
    given: Affine | None,
    like: Volume | None,
    path: Path,
) -> Placed:
    """A mask in RAS+ axes, where its header puts it.

    Args:
        as_stored: its voxels.
        affine: its header's, voxel index to RAS mm.
        blank: whether that header has no orientation, so that the affine is a convention and not a statement.
        given: the scan's affine where it comes from the cohort and not from a header. The origins of the two need not
            agree then, so that a mask of the scan's shape stands on its grid.
        like: the scan, RAS+ axes; ``None`` compares nothing.
        path: for messages.

    Raises:
        UniferumError: the header contradicts the scan's, or does not say where the mask lies.
    """
    if like is not None and given is not None:
        silent = blank or _says_nothing(affine, as_stored.shape)
        placed = _beside(as_stored, None if silent else affine, given, like)
        if placed is not None:
            return placed
    if like is not None and blank and sorted(as_stored.shape) != sorted(like.shape):
        raise _nowhere(path, like)
    ids, own = reorient_array(as_stored, affine)
    return Placed(ids, own, 0.0 if like is None else _compare(ids.shape, own, like, path, blank=blank))


def _beside(as_stored: np.ndarray, affine: np.ndarray | None, given: Affine, like: Volume) -> Placed | None:
    """A mask on its scan's grid: its axes from its own header, else the scan's; ``None`` where neither fits."""
    if affine is not None:
        ids, own = reorient_array(as_stored, affine)
        if ids.shape == like.shape and np.allclose(spacing_of(own), like.spacing_mm, rtol=0.02):
            return Placed(ids, like.affine)
    turned, turned_affine = reorient_array(as_stored, np.asarray(given, dtype=np.float64))
    return Placed(turned, turned_affine) if turned.shape == like.shape else None


def _compare(shape: tuple[int, ...], own: np.ndarray, like: Volume, path: Path, *, blank: bool) -> float:
    """Millimetres that a grid of the scan's shape lies beside it; 0 for the same grid and for one of another shape."""
    subject = f"{path}: header"
    if shape != like.shape:
        if sorted(shape) == sorted(like.shape):
            cure = f"it is {_by(shape)}, the scan {_by(like.shape)} (x, y, z): axes were swapped when one was written"
            raise UniferumError(subject, must="put its axes as its scan's does", cure=cure)
        if _says_nothing(own, shape) and not _near_zero(like):
            cure = "voxels of 1 mm from 0, 0, 0 are what a writer puts where it was told nothing; write the mask's own"
            raise UniferumError(subject, must="say where it lies", cure=cure)
        return 0.0
    ends = np.array([[*(np.array(shape) - 1) * [a, b, c], 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)]).T
    apart = (own - like.affine) @ ends
    voxels = float(np.abs((np.linalg.inv(like.affine) @ apart)[:3]).max())
    if voxels <= SAME_VOXELS:
        return 0.0
    shift = float(np.linalg.norm(apart[:3], axis=0).max())
    if voxels <= MAX_SHIFT_VOXELS:
        return shift
    nothing = blank or _says_nothing(own, shape)
    seen = "is blank" if nothing else f"puts it up to {shift:.0f} mm aside"
    cure = (
        f"it {seen}: copy the scan's header onto the mask if its voxels are the scan's, else resample it onto the scan"
    )
    raise UniferumError(subject, must=f"agree with its scan's, since both are {_by(shape)} voxels", cure=cure)


def check_overlap(placed: Placed, like: Volume, path: Path) -> None:
    """Refuse a mask whose grid lies wholly beside the scan: one of the two headers is wrong.

    Raises:
        UniferumError: it does.
    """
    shape = np.array(placed.ids.shape)
    ends = np.array([[*shape * [a, b, c] - 0.5, 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    reach = (np.linalg.inv(like.affine) @ placed.affine @ ends.T)[:3]
    apart = (reach.max(axis=1) < -0.5) | (reach.min(axis=1) > np.array(like.shape) - 0.5)
    if apart.any():
        raise UniferumError(str(path), must="overlap its scan", cure="the two headers contradict")


def _says_nothing(own: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Voxels of 1 mm along the axes, one corner at 0 (or, for NIfTI without orientation, the middle)."""
    unit = np.abs(np.abs(own[:3, :3]) - np.eye(3)).max() < _UNIT_MM
    last = own[:3, 3] + own[:3, :3] @ (np.array(shape) - 1)
    at_zero = np.minimum(np.abs(own[:3, 3]), np.abs(last)) < _UNIT_MM
    centred = np.abs(own[:3, 3] + last) < _UNIT_MM
    return bool(unit and (at_zero.all() or centred.all()))


def _near_zero(like: Volume) -> bool:
    """Whether the scan's own first voxel, in whatever order it was stored, may be at 0."""
    last = like.affine @ [*(np.array(like.shape) - 1), 1.0]
    return bool((np.minimum(np.abs(like.affine[:3, 3]), np.abs(last[:3])) < 1.0).all())


def _nowhere(path: Path, like: Volume) -> UniferumError:
    cure = f"its header is blank and its shape is not its scan's, {_by(like.shape)}"
    return UniferumError(str(path), must="say where it lies", cure=cure)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(count) for count in shape)
