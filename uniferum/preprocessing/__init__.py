"""Raw scans to prepared volumes (paper 3.5).

Files:

    affines       check the affine of a scan or mask for plausible values, and convert its unit to mm
    body          find the patient's body and its centre in the axial plane
    cues          evidence about a scan's axes from the landmarks of the chest, as log-odds with a reason
    faults        describe in one line why a scan failed
    flags         quality flags of a scan and their meanings
    formats/      readers of scan files: NIfTI, MetaImage, npz and DICOM, to volumes in HU
    geometry      grids of the prepared volumes
    histogram     histogram of the int16 values of a volume, and separation of padding from air and tissue
    hu_check      check by its histogram whether the values of a scan are Hounsfield units
    landmarks     anatomical landmarks of a coarse chest CT
    lungs         find the lowest and highest slice of the lungs
    masks/        mask layers: read them, check them against their scan, and resample them to the prepared grids
    montage       draw a prepared volume in radiological orientation
    organs        evidence about a scan's axes from the organs of a TotalSegmentator mask
    orientation   check the axes of a scan against its anatomy
    pipeline      prepare a scan in the paper's order
    resampling    compiled resampling kernels: from a raw to a prepared volume in one step
    store/        the prepared store: its files, their encoding and their location
    volume        a CT volume: the array of HU values with its affine
"""
