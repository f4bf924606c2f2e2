"""Every quality flag of a scan, with what it means; docs/store.md prints this table.

A flag is a name, or a name and a mask layer (``bad_mask:<layer>``). Sentences with the numbers behind a flag are its
scan's notes.
"""

from collections.abc import Iterable

WRONG_HU = "wrong_hu"
PADDING_NOT_AIR = "padding_not_air"
ORIENTATION_DOUBTFUL = "orientation_doubtful"
NO_ORIENTATION = "no_orientation"
DOUBTFUL = (WRONG_HU, ORIENTATION_DOUBTFUL)
"""Flags of a scan whose numbers should not be believed: ``uniferum predict`` refuses it unless told otherwise."""

MEANING = {
    "no_lung": "no mask and no threshold shows a lung: the heights were not cut, the scan is kept",
    "lungs_cut": "the lungs reach the lowest or highest slice of the scan",
    "lungs_exceed_box": "the lungs are taller than the box, whose ends are lost on both sides",
    "lung_mask_not_air": "the lung mask lies in soft tissue (another numbering?) and was not believed",
    "field_of_view_cut": "the body is cut by a side of the field of view",
    "no_body": "nothing is soft tissue; the box is centred on the scan",
    WRONG_HU: "values do not look like HU: air, lung, fat, soft tissue or bone are not where they must be",
    PADDING_NOT_AIR: "outside the field of view the file holds 0 or a very high value, read as water or metal",
    "nan_voxels": "NaN became air",
    "gantry_tilt": "slices lean; resampled by the true affine",
    "missing_slices": "slices are missing and were interpolated",
    "duplicate_slices": "slices are exact copies of others and were dropped",
    "conflicting_slices": "few places are shown by two unlike images; neither was believed, they were interpolated",
    "uneven_spacing": "the distance between slices changes; resampled to a regular one by their true places",
    "shifted_slices": "slices are shifted in their plane; resampled to their true places",
    "several_series": "the folder holds several CT series; one was chosen",
    "several_acquisitions": "the series holds several acquisitions or phases; one was read, whole",
    "series_joined": "each slice has a series of its own; those of one frame of reference were read as one stack",
    "derived_series": "there is no original axial series; a derived or another one was read",
    "class_contradicts": "slices of modality CT that are stored as MR images; read, as there is nothing better",
    "others_beside": "localizers, other modalities, pictures or reports lie beside the slices and were left out",
    "slices_left_out": "slices of the series have another direction, size, spacing or kind and were left out",
    "slices_without_place": "slices of the series without a place in space were left out",
    "unreadable_files": "files that cannot be read, or are cut off, were left out",
    "rescale_filled_in": "some slices lack slope and intercept; those of the other slices were applied and checked",
    "no_rescale": "no slice says slope and intercept; stored values were taken for HU",
    NO_ORIENTATION: "a header without orientation or origin, or with the identity in their place",
    "spacing_contradiction": "a NIfTI header whose spacing contradicts its affine",
    "qform_sform_differ": "the qform and sform of a NIfTI header put the volume into different places; sform used",
    "spacing_units": "a header whose unit of length is not mm; converted where that gives voxels of a plausible size",
    "scaling_ignored": "a NIfTI header with an intercept but no slope; values were taken as stored",
    "trailing_data": "the file holds more behind the voxels than its header declares",
    ORIENTATION_DOUBTFUL: "the axes contradict the anatomy, or a header's qform and sform contradict each other",
    "empty_mask": "the mask has no voxel",
    "lost_mask": "the mask has voxels, and none within the kept heights and the box",
    "bad_mask": "the mask could not be used and was left out (only with keep_with_bad_mask)",
    "mask_shifted": "the mask's grid lies less than a voxel beside its scan's, by its header, and was left there",
    "mask_outside_scan": "less than half of the mask's voxels, or not every sphere, lie inside the scan",
    "mask_outside_body": "less than 80 % of the mask's voxels, or not every sphere, lie inside the body",
    "mask_mirrored": "a mirror image of the mask fits better, or its organs lie on the wrong side, of each other too",
    "mask_displaced": "the mask fits the scan's air, bone and solid organs better when moved",
    "mask_not_tissue": "spleen, kidneys, liver, heart or aorta of the mask lie mostly on air or fat",
    "mask_one_class": "a TotalSegmentator file whose only id is 1: the spleen, or a binary mask of something else",
    "mask_regridded": "class files lie on another grid than their scan and were put on it by nearest neighbour",
    "mask_classes_overlap": "voxels are claimed by more than one class file; the higher id has them",
    "mask_unknown_classes": "files of the folder are named after no class of TotalSegmentator v2 and were left out",
}
"""Flag, without its layer, to its meaning."""


def meaning(flag: str) -> str:
    """What a flag, with or without a layer, means."""
    return MEANING.get(flag.partition(":")[0], "")


def is_doubtful(flag: str) -> bool:
    """Whether the numbers of a scan with this flag should not be believed."""
    return flag.partition(":")[0] in DOUBTFUL


def doubtful(found: Iterable[str]) -> tuple[str, ...]:
    """Those of some flags that say that a scan's numbers should not be believed, in the order given."""
    return tuple(flag for flag in found if is_doubtful(flag))
