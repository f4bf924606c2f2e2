"""Read a DICOM CT: list the files, choose the stack, decode it and compute its grid."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from uniferum.errors import UniferumError
from uniferum.preprocessing.formats.dicom import pixels
from uniferum.preprocessing.formats.dicom.choice import Choice, choose, restricted
from uniferum.preprocessing.formats.dicom.elements import quiet
from uniferum.preprocessing.formats.dicom.files import files_below
from uniferum.preprocessing.formats.dicom.geometry import grid_of, on_grid
from uniferum.preprocessing.formats.dicom.headers import read_header
from uniferum.preprocessing.formats.dicom.kinds import DICOMDIR
from uniferum.preprocessing.formats.dicom.phases import group_by_position
from uniferum.preprocessing.formats.dicom.rescale import Rescale
from uniferum.preprocessing.formats.dicom.rescale_series import check_filled, completed, contradicting, odd_slices_note
from uniferum.preprocessing.formats.dicom.slices import (
    DAMAGED,
    NO_FRAMES,
    NO_POSITION,
    NOT_DICOM,
    TOO_LARGE,
    Skipped,
    Slice,
)
from uniferum.preprocessing.formats.source import Intensity
from uniferum.preprocessing.formats.stored import Stored

# Maximum share of positions with two different images; more of them are two scans that cannot be separated.
_MAX_CONFLICTS = 0.1
# Maximum share of slices that cannot be decoded; more of them have one cause, which is reported.
_MAX_DAMAGED = 0.25
# Other content of a folder that needs no flag.
_UNREMARKABLE = frozenset({NOT_DICOM, DICOMDIR})
# Skipped files that are lost slices.
_LOST = {
    DAMAGED: "unreadable_files",
    TOO_LARGE: "unreadable_files",
    NO_POSITION: "slices_without_place",
    NO_FRAMES: "slices_without_place",
}


def read_dicom(path: Path) -> Stored:
    """Read the CT series of a folder (including its sub-folders), or of one multi-frame file.

    Returns:
        HU, x along rows; int16 if slopes and intercepts are whole numbers, else float32. Flags and notes report what
        was chosen, ignored, completed or resampled; see ``preprocessing/flags.py``.

    Raises:
        UniferumError: there is no CT stack, or it cannot be put together reliably.
    """
    subject = str(path)
    files, outside = files_below(path) if path.is_dir() else ([path], 0)
    with quiet():
        objects = [(number, one) for number, file in enumerate(files) for one in read_header(file)]
    slices = [one for _, one in objects if isinstance(one, Slice)]
    skipped = [(number, one) for number, one in objects if isinstance(one, Skipped)]
    if not slices:
        raise UniferumError(subject, must="hold a DICOM series of CT slices", cure=_content_summary(skipped, outside))
    beside = _content_summary(skipped, outside).replace("it holds", "other content") if skipped else ""
    choice = _without_copies(choose(slices, subject, beside), subject)
    flags, notes = _skipped_remarks(skipped, choice.slices, len(files), outside)
    stack, kept, more_flags, more_notes = _decoded(choice.slices, subject)
    grid = grid_of(kept, subject, beside)
    values = on_grid(stack, grid)
    return Stored(
        values.transpose(2, 1, 0),
        grid.affine,
        Intensity(1.0, 0.0),
        tuple(dict.fromkeys((*choice.flags, *flags, *more_flags, *grid.flags))),
        (*choice.notes, *notes, *more_notes, *grid.notes),
    )


def _content_summary(skipped: Sequence[tuple[int, Skipped]], outside: int) -> str:
    counts = Counter(one.words for _, one in skipped)
    if outside:
        counts["link that leads out of the folder, not followed"] = outside
    listed = ", ".join(f"{count} x {reason}" for reason, count in counts.most_common())
    return f"it holds: {listed}" if listed else "it is empty"


def _skipped_remarks(
    skipped: Sequence[tuple[int, Skipped]], chosen: Sequence[Slice], files: int, outside: int
) -> tuple[tuple[str, ...], list[str]]:
    """Flags and notes on skipped files. An image without position in another series is not a lost slice."""
    flags, notes = [], []
    series = {one.series for one in chosen}
    counts: Counter[tuple[str, str]] = Counter()
    for _, one in skipped:
        elsewhere = one.reason != DAMAGED and one.reason in _LOST and one.series not in series
        counts[(f"{one.reason} in another series", "") if elsewhere else (one.reason, one.detail)] += 1
    for (reason, detail), count in counts.most_common():
        flag = _LOST.get(reason) or (None if reason in _UNREMARKABLE else "others_beside")
        flags += [flag] if flag else []
        named = ""
        if reason == DAMAGED:
            numbers = [str(n + 1) for n, one in skipped if (one.reason, one.detail) == (DAMAGED, detail)]
            named = f" (sorted by name, file {', '.join(numbers[:8])}{', ...' if len(numbers) > 8 else ''} of {files})"
        notes.append(f"Ignored: {count} x {Skipped(reason, detail=detail).words}{named}.")
    if "others_beside" in flags:
        notes.insert(0, f"{len(chosen)} slices of one CT series were read.")
    if outside:
        flags.append("others_beside")
        notes.append(f"Ignored: {outside} links that lead out of the folder.")
    return tuple(dict.fromkeys(flags)), notes


def _without_copies(choice: Choice, subject: str) -> Choice:
    """Keep one slice per position: drop exact copies; positions with different images are interpolated if few."""
    kept, copies, conflicts = [], 0, 0
    groups = group_by_position(choice.slices)
    for group in groups:
        unlike = _unlike(group) if len(group) > 1 else group
        copies += len(group) - len(unlike)
        conflicts += len(unlike) > 1
        kept += unlike if len(unlike) == 1 else []
    if conflicts > _MAX_CONFLICTS * len(groups):
        value = f"{conflicts} of {len(groups)} positions"
        cure = "two acquisitions have the same positions and their headers do not distinguish them; keep one of them"
        raise UniferumError(subject, value, must="have one image per position", cure=cure)
    if len(kept) < 2:
        raise UniferumError(subject, f"{len(kept)} slice", must="hold at least two slices of one series")
    flags, notes = [], []
    if copies:
        flags.append("duplicate_slices")
        notes.append(f"{copies} slices are exact copies of others and were dropped.")
    if conflicts:
        flags.append("conflicting_slices")
        notes.append(f"{conflicts} of {len(groups)} positions have two different images; neither was used.")
    return restricted(choice, kept, flags, notes)


def _unlike(group: Sequence[Slice]) -> list[Slice]:
    """Slices of one position that differ in pixels, rescale or in-plane position."""
    different: dict[object, Slice] = {}
    for one in group:
        try:
            content = pixels.digest(one.path, one.frame)
        except pixels.DamagedError:
            continue
        different.setdefault((content, one.rescale, tuple(np.round(one.position, 2))), one)
    return list(different.values()) or list(group[:1])


def _decoded(slices: Sequence[Slice], subject: str) -> tuple[np.ndarray, list[Slice], tuple[str, ...], list[str]]:
    """Decode all slices to HU (slice, row, column); return these slices, flags and notes."""
    rescale, filled, flags, notes = completed(slices, subject)
    whole_numbers = all(one.whole for one in rescale)
    stack = np.empty((len(slices), *slices[0].shape), dtype=np.int16 if whole_numbers else np.float32)
    damaged, remarks = _fill(stack, slices, rescale, whole_numbers=whole_numbers)
    flags, notes = (*flags, *remarks[0]), [*notes, *remarks[1]]
    if filled:
        check_filled(stack, [at for at in filled if at not in damaged], next(r for r in rescale if r.sound), slices)
    odd = contradicting(stack, [at for at in range(len(slices)) if at not in damaged], rescale)
    if odd:
        flags, notes = (*flags, "wrong_hu"), [*notes, odd_slices_note(odd, len(slices))]
    if "no_rescale" in flags and stack.min() >= 0:
        flags = (*flags, "wrong_hu")
    if damaged:
        stack, slices, more = _without_damaged(stack, slices, damaged)
        flags, notes = (*flags, "unreadable_files"), [*notes, more]
    return stack, list(slices), flags, notes


def _fill(
    stack: np.ndarray, slices: Sequence[Slice], rescale: Sequence[Rescale], *, whole_numbers: bool
) -> tuple[dict[int, str], tuple[tuple[str, ...], list[str]]]:
    """Decode every slice into the stack; return the damaged slices with their reasons, flags and notes."""
    damaged: dict[int, str] = {}
    inverted = not_hu = False
    for path, positions in pixels.frames_of(slices).items():
        try:
            decoded = pixels.decode(path)
            for at in positions:
                stack[at] = pixels.to_hu(decoded, slices[at].frame or 0, rescale[at], whole_numbers=whole_numbers)
        except (pixels.DamagedError, IndexError, ValueError) as error:
            if isinstance(error, UniferumError):
                raise
            damaged.update(dict.fromkeys(positions, str(error) or type(error).__name__))
            continue
        inverted = inverted or pixels.is_inverted(decoded.data)
        not_hu = not_hu or (rescale[positions[0]].lut and not pixels.lut_is_hu(decoded.data))
    notes = ["The modality LUT does not give HU by its own type."] if not_hu else []
    if inverted:
        notes.append("MONOCHROME1: the header requests an inverted display; HU are not affected.")
    return damaged, (("wrong_hu",) if not_hu else (), notes)


def _without_damaged(
    stack: np.ndarray, slices: Sequence[Slice], damaged: dict[int, str]
) -> tuple[np.ndarray, list[Slice], str]:
    kept = [at for at in range(len(slices)) if at not in damaged]
    if len(kept) < 2 or len(damaged) > _MAX_DAMAGED * len(slices):
        path, reason = slices[next(iter(damaged))].path, next(iter(damaged.values()))
        count = f"{len(damaged)} of {len(slices)} slices cannot be decoded"
        raise UniferumError(str(path), count, must="have readable pixels", cure=reason)
    numbers = ", ".join(str(at + 1) for at in list(damaged)[:8])
    note = f"The pixels of {len(damaged)} of {len(slices)} slices cannot be decoded (slice {numbers} along the axis)."
    return stack[kept], [slices[at] for at in kept], note
