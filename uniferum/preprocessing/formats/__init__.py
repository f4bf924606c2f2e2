"""Readers of scan files: NIfTI, MetaImage, npz and DICOM, to volumes in HU.

Files:

    containment        check that the files of a scan are inside its dataset's folder, links and `..` resolved
    content            recognise a file's content by its first bytes
    dicom/             read CT in DICOM: from a folder, or one multi-frame file, to one volume
    intensities        convert stored values to Hounsfield units in int16, slab by slab
    load               read any scan on disk to a volume in RAS+ and HU
    metaimage          read MetaImage (`.mhd`, `.mha`), the format of LUNA16
    metaimage_header   parse the header of a MetaImage file
    nifti              read NIfTI-1 and -2, plain or gzipped
    nifti_geometry     affine of a NIfTI header
    nifti_layout       position and number of the voxels of a NIfTI file
    npz                read npz arrays: RAD-ChestCT's `ct`, and files with an additional `affine`
    read               read a file, or a folder of DICOM slices, to stored values with the reader of its format
    scan_files         list every file that is read for a scan or a mask
    source             where the files of a scan are, and what their headers do not say
    stored             the result of a reader: stored values, geometry, flags, notes
"""
