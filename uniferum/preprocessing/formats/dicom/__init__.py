"""Read CT in DICOM: from a folder, or one multi-frame file, to one volume.

    reader           the sequence of the steps below
    files            which files are read, and which links are not followed
    headers          header of one file to its slices, or to the reason why it holds none
    frames           the same for an enhanced (multi-frame) file, whose frames are slices
    elements         single elements of a header, any of which may be absent
    kinds            kind of an object: original or derived slice, localizer, projection, other
    slices           one slice: its pixels, its geometry, and what distinguishes its acquisition
    phases           separation of acquisitions within one series
    choice           selection of the series to read
    rescale          slope and intercept in the header of one slice
    rescale_series   the same for a series: missing values are completed
    pixels           decoding, padding, unused bits, modality LUT
    geometry         grid of a stack from the position of every slice

pydicom reads headers and pixels, with the decoders of python-gdcm. Sorting, selection and geometry are our own:
SimpleITK's ImageSeriesReader stacks the given files at their mean distance, dicom2nifti and highdicom refuse uneven
stacks, and none of them separates phases or reports what it ignores.

Privacy: from a header only pixels, geometry, scaling and the differences between acquisitions are read. Notes contain
counts and millimetres, but no identifier, date, free text or file name (archives use identifiers as file names).
"""

from uniferum.preprocessing.formats.dicom.headers import looks_like_dicom
from uniferum.preprocessing.formats.dicom.reader import read_dicom

__all__ = ["looks_like_dicom", "read_dicom"]
