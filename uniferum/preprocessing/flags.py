"""Every quality flag of a scan, with what it means; docs/store.md prints this table.

A flag is a name, or a name and a mask layer (``bad_mask:<layer>``). Sentences with the numbers behind a flag are its
scan's notes.
"""

WRONG_HU = "wrong_hu"
ORIENTATION_DOUBTFUL = "orientation_doubtful"
DOUBTFUL = (WRONG_HU, ORIENTATION_DOUBTFUL)
"""Flags of a scan whose numbers should not be believed: ``uniferum predict`` refuses it unless told otherwise."""

MEANING = {
    "no_lung": "no mask and no threshold shows a lung: the heights were not cut, the scan is kept",
    "lungs_cut": "the lungs reach the lowest or highest slice of the scan",
    "lungs_exceed_box": "the lungs are taller than the box, whose ends are lost on both sides",
    "lung_mask_not_air": "the lung mask lies in soft tissue (another numbering?) and was not believed",
    "field_of_view_cut": "the body is cut by a side of the field of view",
    "no_body": "nothing is soft tissue; the box is centred on the scan",
    WRONG_HU: "values do not look like HU",
    "nan_voxels": "NaN became air",
    "gantry_tilt": "slices lean; resampled by the true affine",
    "missing_slices": "slices are missing and were interpolated",
    "duplicate_slices": "slices were repeated and dropped",
    "several_series": "the folder holds several series; one was chosen",
    "no_orientation": "a NIfTI header without orientation",
    "spacing_contradiction": "a NIfTI header whose spacing contradicts its affine",
    "qform_sform_differ": "the qform and sform of a NIfTI header put the volume into different places; sform used",
    "spacing_units": "a header whose unit of length is not mm; converted where that gives voxels of a plausible size",
    "scaling_ignored": "a NIfTI header with an intercept but no slope; values were taken as stored",
    "trailing_data": "the file holds more behind the voxels than its header declares",
    ORIENTATION_DOUBTFUL: "the axes contradict the anatomy, or a header's qform and sform each other",
    "empty_mask": "the mask has no voxel",
    "bad_mask": "the mask could not be used and was left out (only with keep_with_bad_mask)",
}
"""Flag, without its layer, to its meaning."""


def meaning(flag: str) -> str:
    """What a flag, with or without a layer, means."""
    return MEANING.get(flag.partition(":")[0], "")
