"""Compute the grid of a stack from the position of every slice, and resample its values to that grid.

Invariant: each slice is at its ImagePositionPatient, with a tolerance of a twentieth of the slice distance (at most
0.5 mm) and a tenth of a pixel. If no regular grid fits, values are interpolated linearly, with a note.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom.slices import Slice

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
AIR = -1024
# Tolerance for positions on a regular grid as a share of the step (at least 0.1, at most 0.5 mm): positions are often
# written with few digits.
_ON_GRID, _ON_GRID_MM, _OFF_GRID_MM = 0.05, 0.1, 0.5
# The same in the plane, in pixels (or 0.05 mm).
_IN_PLANE, _IN_PLANE_MM = 0.1, 0.05
# Widest hole that is interpolated: two missing slices in a row, or 10 mm; a wider hole could hide a finding.
_HOLE_STEPS, _HOLE_MM = 3, 10.0
# Number of interpolated slices, at most, relative to the existing ones.
_MAX_GROWTH = 1.5
# A slice that is shifted by more than this share of the field of view shows another part of the body.
_MAX_SHIFT = 0.25
_TILT_COSINE = float(np.cos(np.deg2rad(0.5)))


@dataclass(frozen=True)
class SliceGrid:
    """Regular grid of a stack, with the positions of its slices.

    Attributes:
        affine: (column, row, slice) to RAS mm, 4 x 4.
        count: slices of the grid.
        index: position of each slice on the grid, in steps; whole numbers if the stack is regular.
        shift: for each slice, the in-plane offset in pixels (rows, columns) of its content from the grid's axis.
    """

    affine: np.ndarray
    count: int
    index: np.ndarray
    shift: np.ndarray
    flags: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regular(self) -> bool:
        """Whether the stack can be used without interpolation."""
        return self.count == len(self.index) and not self.flags_of_values

    @property
    def flags_of_values(self) -> set[str]:
        """The flags for interpolated values."""
        return set(self.flags) & {"missing_slices", "uneven_spacing", "shifted_slices"}


def grid_of(slices: Sequence[Slice], subject: str, beside: str = "") -> SliceGrid:
    """Compute the grid of slices that are sorted along their normal, with one slice per position.

    Args:
        slices: at least two slices.
        subject: the folder, for error messages.
        beside: other content of the folder, for error messages: the missing slices may be there.

    Raises:
        UniferumError: a hole is too wide, or a slice is shifted too far, to be interpolated.
    """
    axes = slices[0].axes
    normal = np.cross(axes[0], axes[1])
    positions = np.stack([one.position for one in slices])
    heights, aside = positions @ normal, positions @ axes.T
    first, step, index, flags, notes = _along(heights, subject, beside)
    rows, columns = slices[0].spacing
    lean, offset, moved = _leaning(heights, aside, np.array([columns, rows]))
    shift = moved / np.array([columns, rows])
    if np.abs(moved).max() > 0:
        shift_note = _shift_note(moved, shift, slices[0].shape, subject)
        flags, notes = (*flags, "shifted_slices"), (*notes, shift_note)
    if 1 / np.sqrt(1 + lean @ lean) < _TILT_COSINE:
        flags = (*flags, "gantry_tilt")
        notes = (*notes, f"The slices lean by {np.rad2deg(np.arctan(np.linalg.norm(lean))):.1f} degrees.")
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ np.stack([axes[0] * columns, axes[1] * rows, step * (normal + lean @ axes)], axis=1)
    affine[:3, 3] = _LPS_TO_RAS @ (first * normal + (offset + lean * (first - heights[0])) @ axes)
    count = round(float(index[-1])) + 1
    return SliceGrid(affine, count, index, shift[:, ::-1], tuple(flags), tuple(notes))


def _along(
    heights: np.ndarray, subject: str, beside: str
) -> tuple[float, float, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Height of the grid's first slice, its step, the slices' positions on it; flags and notes."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    _check_gaps(gaps, usual, subject, beside)
    index = np.concatenate([[0], np.cumsum(np.maximum(1, np.rint(gaps / usual)))])
    step, first = np.polyfit(index, heights, 1) if len(heights) > 2 else (gaps[0], heights[0])
    missing = int(index[-1]) + 1 - len(index)
    wide = float(gaps.max())
    if np.abs(first + step * index - heights).max() <= max(min(_ON_GRID * step, _OFF_GRID_MM), _ON_GRID_MM):
        if not missing:
            step = float(heights[-1] - heights[0]) / (len(heights) - 1)
            return float(heights[0]), step, index, (), ()
        _check_growth(missing, len(heights), subject)
        note = f"{missing} of {len(heights) + missing} slices are missing: interpolated (widest gap {wide:.2f} mm)."
        return float(first), float(step), index, ("missing_slices",), (note,)
    steps = min(round((heights[-1] - heights[0]) / usual), int(_MAX_GROWTH * len(heights)))
    step = float(heights[-1] - heights[0]) / max(1, steps)
    note = f"The distance between slices is uneven ({gaps.min():.2f} to {wide:.2f} mm): resampled to {step:.2f} mm."
    flags = ("uneven_spacing", "missing_slices") if wide > 1.8 * max(usual, _second(gaps)) else ("uneven_spacing",)
    return float(heights[0]), step, (heights - heights[0]) / step, flags, (note,)


def _second(gaps: np.ndarray) -> float:
    """The second widest gap: one wide gap means missing slices, several mean a changing distance."""
    return float(np.sort(gaps)[-2]) if len(gaps) > 1 else float(gaps[0])


def _check_gaps(gaps: np.ndarray, usual: float, subject: str, beside: str) -> None:
    limit = max((_HOLE_STEPS + 0.2) * usual, _HOLE_MM)
    at = int(gaps.argmax())
    if len(gaps) > 1 and gaps[at] > limit and (gaps > 0.8 * gaps[at]).mean() < 0.2:
        cure = beside or "download it again"
        value = f"{gaps[at]:.1f} mm between slices {at + 1} and {at + 2} of {len(gaps) + 1}, elsewhere {usual:.2f} mm"
        raise UniferumError(subject, value, must="have no gap that is too wide to interpolate", cure=cure)


def _check_growth(missing: int, count: int, subject: str) -> None:
    if missing > (_MAX_GROWTH - 1) * count:
        value = f"{count} of {count + missing} slices"
        raise UniferumError(subject, value, must="hold most of the slices of its series", cure="download it again")


def _leaning(heights: np.ndarray, aside: np.ndarray, pixel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lean of the stack (in-plane mm per mm of height), offset of the first slice, and each slice's shift in mm.

    A straight line through all slices is a gantry tilt. Otherwise the median lean between neighbours is used, and
    slices off that line are shifted: most slices keep their position.
    """
    limit = max(float(_IN_PLANE * pixel.min()), _IN_PLANE_MM)
    rise = heights - heights[0]
    lean, offset = np.polyfit(rise, aside, 1)
    if np.abs(aside - offset - np.outer(rise, lean)).max() <= limit:
        return lean, offset, np.zeros_like(aside)
    lean = np.median(np.diff(aside, axis=0) / np.diff(heights)[:, None], axis=0)
    rest = aside - np.outer(rise, lean)
    # The lower median, not the mean of two values: if half of the slices are shifted, the other half keeps its
    # position.
    offset = np.quantile(rest, 0.5, axis=0, method="lower")
    moved = rest - offset
    moved[np.abs(moved).max(axis=1) <= limit] = 0
    return lean, offset, moved


def _shift_note(moved: np.ndarray, pixels: np.ndarray, shape: tuple[int, int], subject: str) -> str:
    far = np.linalg.norm(moved, axis=1)
    at = int(far.argmax())
    if np.abs(pixels).max() > _MAX_SHIFT * min(shape):
        value = f"slice {at + 1} of {len(far)} by {far[at]:.1f} mm"
        raise UniferumError(subject, value, must="have slices above one another", cure="one is shifted in its plane")
    count = int((far > 0).sum())
    return f"{count} of {len(far)} slices are shifted in their plane, by up to {far[at]:.1f} mm, and were resampled."


def on_grid(stack: np.ndarray, grid: SliceGrid) -> np.ndarray:
    """Resample the stack (slice, row, column) to its grid where slices are missing, uneven or shifted."""
    if grid.regular:
        return stack
    for number, shift in enumerate(grid.shift):
        if shift.any():
            moved = ndimage.shift(stack[number].astype(np.float32), shift, order=1, mode="constant", cval=AIR)
            stack[number] = _as(moved, stack.dtype)
    if not grid.flags_of_values - {"shifted_slices"}:
        return stack
    out = np.empty((grid.count, *stack.shape[1:]), dtype=stack.dtype)
    for number in range(grid.count):
        above = int(np.clip(np.searchsorted(grid.index, number), 1, len(grid.index) - 1))
        low, high = grid.index[above - 1], grid.index[above]
        weight = np.float32(np.clip((number - low) / (high - low), 0, 1))
        if weight in (0, 1):
            out[number] = stack[above - 1 + int(weight)]
        else:
            mixed = stack[above - 1].astype(np.float32) * (1 - weight) + stack[above].astype(np.float32) * weight
            out[number] = _as(mixed, stack.dtype)
    return out


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.rint(values).astype(dtype) if dtype.kind == "i" else values.astype(dtype)
