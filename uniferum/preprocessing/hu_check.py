"""Do the values of a scan look like Hounsfield units? Asked of its histogram, by what lies where in every human body.

The scale is fixed by physics: air is -1000 and water 0 (Hounsfield 1973). In any part of any body: lung -950 to -500,
fat -120 to -60, water, blood, muscle and organs 0 to 100 (with contrast to 300, vessels and heart to 500), spongy bone
200 to 700, compact bone to about 2000, metal above. Every limit below follows from these, with room for noise of 70 HU
in a voxel, for partial volume and for crops; "seen" is the worst of 15 real volumes in 44 sound forms each
(``tests/hard_data/test_hu_of_real_volumes.py`` prints them).

What a histogram cannot tell: an offset below about 300 HU; a scale between about 0.5 and 3 times the right one; a
clip that leaves air and bone (beyond -810 and 900); a window of soft tissue that was stretched to -1000..1000 again;
in a drawn phantom, whose tissues are constants, a window cut at its upper end above 300 HU alone, for that may be its
bone. A crop of a few centimetres within one tissue is taken for wrong: it has neither air nor fat, and an image scaled
to 0..255 looks like it.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int16

from uniferum.preprocessing.flags import PADDING_NOT_AIR, WRONG_HU
from uniferum.preprocessing.histogram import (
    END,
    LEAST,
    PADDING_SHARE,
    Histogram,
    corner_value,
    histogram_of,
    without_far_padding,
    without_near_padding,
)

AIR_HU, METAL_HU = -1150, 4000
"""Air with noise, and the 12 bits of a CT number (-1024 to 3071) with room; beyond are padding and metal."""
BEYOND_SHARE = 0.05
"""Of all voxels, beyond these limits: the most that metal implants take of a crop, with room."""
RIM_SHARE = 0.75
"""As many again as there is padding may be the rim that interpolation made of it (seen: 0.43, a quarter as fine)."""
AIR_NOISE_HU, NOISE_SHARE = (-1150, -850), 0.25
"""For each four voxels of air there may be one below: noise of 150 HU, where a writer did not clip at -1024."""
EXTENT_HU = 500
"""Between the lowest and the highest thousandth: air or lung beside tissue, or fat beside bone (seen: 1025)."""
TISSUE_HU, SOFT_HU = -300, (-20, 150)
"""Denser than lung; and of that blood, muscle, organs, with and without contrast."""
SOFT_SHARE, SOFT_OF_ALL = 0.10, 0.015
"""Soft tissue in all that is denser than lung (seen: 0.17), and in all (seen: 0.036, a field four times as large)."""
LIGHT_HU, FAT_HU, LIGHT_SHARE = (-1150, -550), (-150, -40), 0.01
"""Air or lung, or else fat, are in every scan (seen: 0.04, the larger of both)."""
DENSE_HU, DENSE_SHARE = 700, 0.15
"""Compact bone and metal, in all that is denser than lung (seen: 0.07)."""
SPONGY_HU, COMPACT_HU, COMPACT_SHARE, COMPACT_RATIO = (400, 700), (900, 1200), 0.03, 3
"""Bone grows rarer with density (seen where a hundredth is bone: 2 times); tissue 1024 too high piles up there."""
THIN_HU, THIN_SHARE, LIGHT_OF_THIN = (-1150, -200), 0.10, 0.28
"""What is thinner than fat is mostly air or lung, the rest partial volume at their borders (seen: 0.53)."""
VALLEY_HU, BODY_HU, VALLEY_RATIO = (-450, -220), (-130, 150), 1.4
"""Between lung and fat lies nothing but partial volume: less than there is fat and soft tissue (seen: 0.57 of it)."""
CLIP_HU, CLIP_SHARE = (-810, 900), 0.0002
"""Values piled up at an end of the range, within these limits: a window was cut out, and air or bone are lost."""
CONSTANT_SHARE, NO_BONE_HU = 0.02, (130, 300)
"""A tissue of one value is drawn, not scanned: then the highest value may be a tissue too, and tells of a clip only
where it lies between muscle and bone, as the upper ends of the usual windows do (150 to 250)."""

_CAUSES = (
    (1, -1024, "They look like HU + 1024: an intercept of -1024 was left out."),
    (1, 1024, "They look like HU - 1024: an intercept of -1024 was applied twice."),
    (1, -8192, "They look like HU + 8192: raw values of CT-RATE v1, whose intercept lies in its metadata table."),
    (1, 8192, "They look like HU - 8192: CT-RATE v2 is in HU, and v1's intercept was applied to it."),
    (0.1, 0, "They look like 10 x HU."),
    (-1, 0, "They look like HU with the sign turned."),
)
"""Slope and intercept that make HU of a known fault."""
_BRIGHT_HU, _BRIGHT_SHARE = 150, (0.01, 0.45)
"""Bone and contrast, in all that is denser than lung: a cause is only named where they have their usual share."""
_REMEDY = (
    "Give the file values in HU, or the slope and intercept that make them so; for CT-RATE set `version`: v1 takes "
    "slope and intercept from the metadata table, v2 is in HU."
)


def check_hu(
    hu: Int16[np.ndarray, "x y z"], *, known_clip: tuple[float, float] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Whether the values look like HU.

    Args:
        hu: a scan, not yet clipped, its axes in any order.
        known_clip: limits to which its dataset was clipped; values piled up there are no fault.

    Returns:
        ``wrong_hu``, or ``padding_not_air``, or no flag; and notes with the numbers: what does not fit, the likely
        cause, the remedy.
    """
    whole, corners = histogram_of(hu)
    found = list(faults(whole, corners, known_clip or CLIP_HU))
    if not found:
        return _padding_that_is_no_air(whole, corners)
    said = "; ".join(found[:2])
    return (WRONG_HU,), (" ".join([f"Values do not look like HU: {said}.", *_likely_cause(whole, corners), _REMEDY]),)


def _padding_that_is_no_air(whole: Histogram, corners: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sound HU around a padding that is water or metal when it is taken for HU."""
    value = corner_value(corners)
    if value is None or not (value == 0 or value > METAL_HU) or not whole.is_spike(value, PADDING_SHARE):
        return (), ()
    share = whole.share(value, value + 1)
    return (PADDING_NOT_AIR,), (f"{share:.1%} of the voxels hold {value}, padding that is read as HU and not as air.",)


def faults(whole: Histogram, corners: tuple[int, ...], known_clip: tuple[float, float] = CLIP_HU) -> Iterator[str]:
    """Each way in which a histogram does not fit HU, as a clause with the numbers."""
    within = without_far_padding(whole, AIR_HU, METAL_HU)
    at_known_clip = corner_value(corners) == known_clip[0]  # air, not padding
    scan = within if at_known_clip else without_near_padding(within, corners)
    low, high = scan.quantile(0.001), scan.quantile(0.999)
    if not scan.total or low == high:
        yield f"all but padding have one value ({corners[0]} in a corner): empty, or scaled to 0..1 and rounded"
        return
    yield from _range_faults(whole, scan)
    yield from _clip_faults(within, scan, known_clip)
    yield from _tissue_faults(scan)
    yield from _thin_faults(scan)


def _range_faults(whole: Histogram, scan: Histogram) -> Iterator[str]:
    low, high = scan.quantile(0.001), scan.quantile(0.999)
    if high - low < EXTENT_HU:
        yield f"they span only {high - low} HU ({low} to {high}), as scaled values do (0..1, 0..255, z-scores)"
    padding = 1 - scan.total / whole.total
    beyond = scan.share(LEAST, AIR_HU), scan.share(METAL_HU, END)
    below = BEYOND_SHARE + RIM_SHARE * padding + NOISE_SHARE * scan.share(*AIR_NOISE_HU)
    if beyond[0] > below or beyond[1] > BEYOND_SHARE:
        yield f"{beyond[0]:.0%} lie below {AIR_HU} and {beyond[1]:.0%} above {METAL_HU}, the padding apart"


def _clip_faults(within: Histogram, scan: Histogram, known_clip: tuple[float, float]) -> Iterator[str]:
    low, high = within.quantile(0), within.quantile(1)
    inner = scan.quantile(0)  # the lower end of a window that was padded afterwards
    drawn = _is_drawn(scan, low, high)
    for end, values in ((low, within), (inner, scan)):
        clipped = end > max(CLIP_HU[0], known_clip[0]) and values.is_spike(end, CLIP_SHARE)
        if clipped and not (drawn and end == inner):
            yield f"they were clipped at {end}, {values.share(end, end + 1):.1%} have that value, and air is lost"
            break
    may_be_tissue = drawn and not NO_BONE_HU[0] <= high < NO_BONE_HU[1]
    if high < min(CLIP_HU[1], known_clip[1]) and not may_be_tissue and within.is_spike(high, CLIP_SHARE):
        yield f"they were clipped at {high}, {within.share(high, high + 1):.1%} have that value, and bone is lost"


def _is_drawn(scan: Histogram, low: int, high: int) -> bool:
    """Whether the most frequent tissue between both ends is a constant."""
    first, last = max(low + 1, CLIP_HU[0]), min(high, CLIP_HU[1])
    return first < last and scan.is_spike(scan.most_frequent(first, last), CONSTANT_SHARE)


def _tissue_faults(scan: Histogram) -> Iterator[str]:
    tissue = (TISSUE_HU, END)
    soft, soft_of_all = scan.share(*SOFT_HU, of=tissue), scan.share(*SOFT_HU)
    if soft < SOFT_SHARE or soft_of_all < SOFT_OF_ALL:
        where = f"{soft_of_all:.1%} of all and {soft:.0%} of what is denser than lung lie {_between(SOFT_HU)}"
        yield f"there is too little soft tissue: {where}"
    if max(scan.share(*LIGHT_HU), scan.share(*FAT_HU)) < LIGHT_SHARE:
        yield f"there is no air or lung ({_between(LIGHT_HU)}) and no fat ({_between(FAT_HU)})"
    dense, compact = scan.share(DENSE_HU, END, of=tissue), scan.share(*COMPACT_HU)
    if dense > DENSE_SHARE:
        yield f"{dense:.0%} of what is denser than lung lie above {DENSE_HU}, as dense as compact bone"
    compact -= scan.share(1000, 1001)  # a sound clip piles up there
    if compact > max(COMPACT_SHARE, COMPACT_RATIO * scan.share(*SPONGY_HU)):
        yield f"{compact:.0%} lie {_between(COMPACT_HU)}, more than bone explains"


def _thin_faults(scan: Histogram) -> Iterator[str]:
    light = scan.share(*LIGHT_HU, of=THIN_HU)
    if scan.share(*THIN_HU) > THIN_SHARE and light < LIGHT_OF_THIN:
        yield f"only {light:.0%} of what is thinner than fat lie where air and lung do, {_between(LIGHT_HU)}"
    valley = scan.share(*VALLEY_HU)
    if valley > VALLEY_RATIO * scan.share(*BODY_HU):
        yield f"{valley:.0%} lie {_between(VALLEY_HU)}, where neither lung nor fat is"


def _likely_cause(whole: Histogram, corners: tuple[int, ...]) -> list[str]:
    for slope, intercept, sentence in _CAUSES:
        there = tuple(round(slope * corner + intercept) for corner in corners)
        moved = whole.moved(slope, intercept)
        bright = moved.share(_BRIGHT_HU, METAL_HU, of=(TISSUE_HU, METAL_HU))
        if _BRIGHT_SHARE[0] < bright < _BRIGHT_SHARE[1] and not any(faults(moved, there)):
            return [sentence]
    return []


def _between(limits: tuple[float, float]) -> str:
    return f"between {limits[0]:g} and {limits[1]:g} HU"
