"""CT in DICOM: from a folder (or one multi-frame file) to one volume.

    files      which files are looked at, and which links are not followed
    headers    one file's header, read once, to slices or to a reason why it is none
    frames     the same for an enhanced (multi-frame) file, whose slices are frames
    kinds      what an object is: original slice, derived one, localizer, projection, something else
    phases     acquisitions that share one series, separated
    choice     of all series the one that is read
    rescale    stored values to HU: which slope and intercept, where a header does not say
    pixels     decoding, padding, bits, modality LUT
    geometry   the grid of a stack from the position of every slice
    reader     the order of these steps

Headers and pixels are pydicom's, decoders python-gdcm's. Sorting, choosing and geometry are our own: SimpleITK's
ImageSeriesReader takes the files that it is given at the mean distance, dicom2nifti and highdicom refuse uneven stacks,
and none of them separates phases or says what it left out.

Privacy: of a header only pixels, geometry, scaling and what tells one acquisition from another are looked at. Notes
hold counts and millimetres; no identifier, date or free text, and no file name (archives name files by identifiers).
"""

from uniferum.preprocessing.formats.dicom.headers import looks_like_dicom
from uniferum.preprocessing.formats.dicom.reader import read_dicom

__all__ = ["looks_like_dicom", "read_dicom"]
