"""Quality flags of a scan and their meanings; docs/store.md prints this table.

A flag is a name, or a name and a mask layer (``bad_mask:<layer>``). The scan's notes give the numbers behind its flags.
"""

from collections.abc import Iterable

WRONG_HU = "wrong_hu"
PADDING_NOT_AIR = "padding_not_air"
ORIENTATION_DOUBTFUL = "orientation_doubtful"
NO_ORIENTATION = "no_orientation"
DOUBTFUL = (WRONG_HU, ORIENTATION_DOUBTFUL)
"""Flags of a scan whose values or axes are probably wrong; ``uniferum predict`` refuses such a scan by default."""

MEANING = {
    "no_lung": "no lung was found by mask or by threshold: the scan is kept with its whole height",
    "lungs_cut": "the lungs reach the lowest or highest slice of the scan",
    "lungs_exceed_box": "the lungs are taller than the box: they are cut at both ends",
    "lung_mask_not_air": "the lung mask lies in soft tissue (other label ids?) and was not used",
    "field_of_view_cut": "a side of the field of view cuts the body",
    "no_body": "no soft tissue was found; the box is centred on the scan",
    WRONG_HU: "values do not look like HU: air, lung, fat, soft tissue or bone are not at their values",
    PADDING_NOT_AIR: "outside the field of view the file holds 0 or a very high value, read as water or metal",
    "nan_voxels": "NaN voxels were replaced by air",
    "gantry_tilt": "the slices are tilted (gantry tilt); resampled with the sheared affine",
    "missing_slices": "slices are missing and were interpolated",
    "duplicate_slices": "slices are exact copies of others and were dropped",
    "conflicting_slices": "a few positions have two different images; neither was used, the slices were interpolated",
    "uneven_spacing": "the distance between slices changes; resampled to a regular spacing by their positions",
    "shifted_slices": "slices are shifted in their plane; resampled by their positions",
    "several_series": "the folder holds several CT series; one was chosen",
    "several_acquisitions": "the series holds several acquisitions or phases; a single complete one was read",
    "series_joined": "each slice is a separate series; those with one frame of reference were read as one stack",
    "derived_series": "there is no original axial series; a derived or another one was read",
    "class_contradicts": "slices of modality CT that are stored as MR images; read, because there are no others",
    "others_beside": "localizers, other modalities, secondary captures or reports are in the folder and were ignored",
    "slices_left_out": "slices of the series have another direction, size, spacing or kind and were ignored",
    "slices_without_place": "slices of the series without a position were ignored",
    "unreadable_files": "unreadable or truncated files were ignored",
    "rescale_filled_in": "some slices have no slope and intercept; those of the other slices were applied and checked",
    "no_rescale": "no slice has slope and intercept; stored values were used as HU",
    NO_ORIENTATION: "the header has no orientation or origin, or only the identity",
    "spacing_contradiction": "the spacing in the NIfTI header contradicts its affine",
    "qform_sform_differ": "the qform and sform of a NIfTI header give different positions; the sform was used",
    "spacing_units": "the header's unit of length is not mm; converted where that gives voxels of a plausible size",
    "scaling_ignored": "the NIfTI header has an intercept but no slope; the stored values were used",
    "trailing_data": "the file is longer than its header declares",
    ORIENTATION_DOUBTFUL: "the axes contradict the anatomy, or the header's qform and sform contradict each other",
    "empty_mask": "the mask has no voxel",
    "lost_mask": "the mask has voxels, but none within the kept heights and the box",
    "bad_mask": "the mask could not be used and was left out (only with keep_with_bad_mask)",
    "mask_shifted": "the mask's grid is shifted by less than a voxel from its scan's grid by its header; not corrected",
    "mask_outside_scan": "less than half of the mask's voxels, or not every sphere, lie inside the scan",
    "mask_outside_body": "less than 80 % of the mask's voxels, or not every sphere, lie inside the body",
    "mask_mirrored": "a mirror image of the mask fits better, or its organs are on the wrong side of the body",
    "mask_displaced": "the mask fits the scan's air, bone and solid organs better when moved",
    "mask_not_tissue": "spleen, kidneys, liver, heart or aorta of the mask cover mostly air or fat",
    "mask_one_class": "the only id of a TotalSegmentator file is 1: spleen, or a binary mask of another structure",
    "mask_regridded": "class files have another grid than their scan and were resampled to it by nearest neighbour",
    "mask_classes_overlap": "voxels belong to more than one class file; they get the highest id",
    "mask_unknown_classes": "files that are not named after a class of TotalSegmentator v2 were ignored",
}
"""Meaning of each flag, by its name without a layer."""


def meaning(flag: str) -> str:
    """Meaning of a flag, with or without a layer."""
    return MEANING.get(flag.partition(":")[0], "")


def is_doubtful(flag: str) -> bool:
    """Whether a scan with this flag probably has wrong values or axes."""
    return flag.partition(":")[0] in DOUBTFUL


def doubtful(flags: Iterable[str]) -> tuple[str, ...]:
    """Select the flags that mark probably wrong values or axes, in the given order."""
    return tuple(flag for flag in flags if is_doubtful(flag))
