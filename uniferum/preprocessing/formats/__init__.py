"""Readers of scan files: NIfTI, MetaImage, npz and DICOM, to volumes in HU."""
