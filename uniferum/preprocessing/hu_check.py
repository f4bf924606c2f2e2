"""Check by its histogram whether the values of a scan are Hounsfield units.

The scale is physical: air is -1000 and water 0 (Hounsfield 1973). In every body: lung -950 to -500, fat -120 to -60,
water, blood, muscle and organs 0 to 100 (with contrast to 300, vessels and heart to 500), spongy bone 200 to 700,
compact bone to about 2000, metal above. All limits below follow from these values, with tolerance for noise of 70 HU
per voxel, partial volume and crops. "Seen" is the worst value of 15 real volumes in 44 correct variants each
(``tests/hard_data/test_hu_of_real_volumes.py`` prints them).

A histogram cannot show: an offset below about 300 HU; a scale between about 0.5 and 3 times the correct one; clipping
that keeps air and bone (beyond -810 and 900); a soft tissue window stretched back to -1000..1000; in a synthetic
phantom with constant tissues, a window whose upper end is above 300 HU, which may be its bone. A crop of a few
centimetres within one tissue is reported as wrong: it has neither air nor fat, like an image scaled to 0..255.
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
"""Limits of air with noise and of 12-bit CT numbers (-1024 to 3071), with margin; padding and metal are beyond."""
BEYOND_SHARE = 0.05
"""Maximum share of voxels beyond these limits: more than metal implants fill of a crop."""
RIM_SHARE = 0.75
"""Additional share, relative to the padding, for its interpolated rim (seen: 0.43, at a quarter of the spacing)."""
AIR_NOISE_HU, NOISE_SHARE = (-1150, -850), 0.25
"""Range of noisy air and the share of lower values it allows: noise of 150 HU, not clipped at -1024."""
EXTENT_HU = 500
"""Minimum range between the quantiles 0.001 and 0.999: air or lung and tissue, or fat and bone (seen: 1025)."""
TISSUE_HU, SOFT_HU = -300, (-20, 150)
"""Denser than lung; and within it blood, muscle and organs, with and without contrast."""
SOFT_SHARE, SOFT_OF_ALL = 0.10, 0.015
"""Minimum share of soft tissue: denser than lung (seen: 0.17), of all (seen: 0.036, field four times as large)."""
LIGHT_HU, FAT_HU, LIGHT_SHARE = (-1150, -550), (-150, -40), 0.01
"""Every scan holds air or lung, or else fat (seen: 0.04, the larger of both)."""
DENSE_HU, DENSE_SHARE = 700, 0.15
"""Maximum share of compact bone and metal in everything denser than lung (seen: 0.07)."""
SPONGY_HU, COMPACT_HU, COMPACT_SHARE, COMPACT_RATIO = (400, 700), (900, 1200), 0.03, 3
"""Bone gets rarer with density (seen where bone is 1 %: 2 times); tissue that is 1024 too high accumulates there."""
THIN_HU, THIN_SHARE, LIGHT_OF_THIN = (-1150, -200), 0.10, 0.28
"""Values below fat are mostly air or lung, the rest is partial volume at their borders (seen: 0.53)."""
VALLEY_HU, BODY_HU, VALLEY_RATIO = (-450, -220), (-130, 150), 1.4
"""Between lung and fat there is only partial volume: less than fat and soft tissue (seen: 0.57 of it)."""
CLIP_HU, CLIP_SHARE = (-810, 900), 0.0002
"""A peak at an end of the range, within these limits, is a clipped window: air or bone are lost."""
CONSTANT_SHARE, NO_BONE_HU = 0.02, (130, 300)
"""A tissue with a single value is synthetic. Then the highest value may be a tissue as well, and shows clipping only
between muscle and bone, where the usual windows end (150 to 250)."""

_CAUSES = (
    (1, -1024, "They look like HU + 1024: an intercept of -1024 was left out."),
    (1, 1024, "They look like HU - 1024: an intercept of -1024 was applied twice."),
    (1, -8192, "They look like HU + 8192: raw values of CT-RATE v1, whose intercept is in its metadata table."),
    (1, 8192, "They look like HU - 8192: CT-RATE v2 is in HU, and v1's intercept was applied to it."),
    (0.1, 0, "They look like 10 x HU."),
    (-1, 0, "They look like HU with the sign reversed."),
)
"""Slope and intercept that convert the values of a known fault to HU, and a sentence about it."""
_BRIGHT_HU, _BRIGHT_SHARE = 150, (0.01, 0.45)
"""Usual share of bone and contrast in everything denser than lung; a cause is only named within it."""
_REMEDY = (
    "Store HU in the file, or set the slope and intercept that convert its values; for CT-RATE set `version`: v1 takes "
    "slope and intercept from the metadata table, v2 is in HU."
)


def check_hu(
    hu: Int16[np.ndarray, "x y z"], *, known_clip: tuple[float, float] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check whether the values look like HU.

    Args:
        hu: an unclipped scan, axes in any order.
        known_clip: limits to which the dataset was clipped; a peak there is not a fault.

    Returns:
        the flag ``wrong_hu`` or ``padding_not_air``, or none; and notes with numbers: what does not fit, the likely
        cause and the remedy.
    """
    whole, corners = histogram_of(hu)
    problems = list(faults(whole, corners, known_clip or CLIP_HU))
    if not problems:
        return _padding_note(whole, corners)
    summary = "; ".join(problems[:2])
    sentences = [f"Values do not look like HU: {summary}.", *_likely_cause(whole, corners), _REMEDY]
    return (WRONG_HU,), (" ".join(sentences),)


def _padding_note(whole: Histogram, corners: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Flag and note on padding that would be water or metal if it was read as HU."""
    value = corner_value(corners)
    if value is None or not (value == 0 or value > METAL_HU) or not whole.is_spike(value, PADDING_SHARE):
        return (), ()
    share = whole.share(value, value + 1)
    return (PADDING_NOT_AIR,), (f"{share:.1%} of the voxels hold {value}, padding that is read as HU instead of air.",)


def faults(whole: Histogram, corners: tuple[int, ...], known_clip: tuple[float, float] = CLIP_HU) -> Iterator[str]:
    """Describe each way in which a histogram does not fit HU, as a clause with numbers."""
    within = without_far_padding(whole, AIR_HU, METAL_HU)
    at_known_clip = corner_value(corners) == known_clip[0]  # air, not padding
    scan = within if at_known_clip else without_near_padding(within, corners)
    low, high = scan.quantile(0.001), scan.quantile(0.999)
    if not scan.total or low == high:
        yield f"without padding there is one value ({corners[0]} in a corner): empty, or scaled to 0..1 and rounded"
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
        yield f"{beyond[0]:.0%} lie below {AIR_HU} and {beyond[1]:.0%} above {METAL_HU}, without the padding"


def _clip_faults(within: Histogram, scan: Histogram, known_clip: tuple[float, float]) -> Iterator[str]:
    low, high = within.quantile(0), within.quantile(1)
    inner = scan.quantile(0)  # the lower end of a window if padding was added later
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
    """Whether the most frequent tissue between both ends is a constant, as in a synthetic phantom."""
    first, last = max(low + 1, CLIP_HU[0]), min(high, CLIP_HU[1])
    return first < last and scan.is_spike(scan.most_frequent(first, last), CONSTANT_SHARE)


def _tissue_faults(scan: Histogram) -> Iterator[str]:
    tissue = (TISSUE_HU, END)
    soft, soft_of_all = scan.share(*SOFT_HU, of=tissue), scan.share(*SOFT_HU)
    if soft < SOFT_SHARE or soft_of_all < SOFT_OF_ALL:
        where = f"{soft_of_all:.1%} of all and {soft:.0%} of everything denser than lung lie {_between(SOFT_HU)}"
        yield f"there is too little soft tissue: {where}"
    if max(scan.share(*LIGHT_HU), scan.share(*FAT_HU)) < LIGHT_SHARE:
        yield f"there is no air or lung ({_between(LIGHT_HU)}) and no fat ({_between(FAT_HU)})"
    dense, compact = scan.share(DENSE_HU, END, of=tissue), scan.share(*COMPACT_HU)
    if dense > DENSE_SHARE:
        yield f"{dense:.0%} of everything denser than lung lie above {DENSE_HU}, as dense as compact bone"
    compact -= scan.share(1000, 1001)  # clipping at 1000 is correct
    if compact > max(COMPACT_SHARE, COMPACT_RATIO * scan.share(*SPONGY_HU)):
        yield f"{compact:.0%} lie {_between(COMPACT_HU)}, more than bone can explain"


def _thin_faults(scan: Histogram) -> Iterator[str]:
    light = scan.share(*LIGHT_HU, of=THIN_HU)
    if scan.share(*THIN_HU) > THIN_SHARE and light < LIGHT_OF_THIN:
        yield f"only {light:.0%} of everything less dense than fat has values of air and lung, {_between(LIGHT_HU)}"
    valley = scan.share(*VALLEY_HU)
    if valley > VALLEY_RATIO * scan.share(*BODY_HU):
        yield f"{valley:.0%} lie {_between(VALLEY_HU)}, where neither lung nor fat is"


def _likely_cause(whole: Histogram, corners: tuple[int, ...]) -> list[str]:
    for slope, intercept, sentence in _CAUSES:
        moved_corners = tuple(round(slope * corner + intercept) for corner in corners)
        moved = whole.moved(slope, intercept)
        bright = moved.share(_BRIGHT_HU, METAL_HU, of=(TISSUE_HU, METAL_HU))
        if _BRIGHT_SHARE[0] < bright < _BRIGHT_SHARE[1] and not any(faults(moved, moved_corners)):
            return [sentence]
    return []


def _between(limits: tuple[float, float]) -> str:
    return f"between {limits[0]:g} and {limits[1]:g} HU"
