"""Phantom cohorts: synthetic thoraces with visible findings, in the file layouts of the real datasets.

Files:

    acquisition     acquisition of a phantom, drawn for each scan
    anatomy         anatomy of a healthy thorax in atlas mm (RAS)
    cases           draw the findings of a cohort's phantoms, and derive the labels
    config          settings of the phantoms: numbers per cohort, seed and voxel size
    description     make the table of docs/phantoms.md from the registered findings
    drawing         shared parts of the findings
    files           write phantoms in the datasets' file formats
    findings        visible findings and how each is drawn
    findings_duke   findings of RAD-ChestCT that are not in CT-RATE's label list
    layout_duke     RAD-ChestCT's layout
    layouts         files and tables of a phantom cohort, as in the real datasets
    raster          paint ellipsoids, tubes, boxes and the rib cage onto a voxel grid
    rendering       render a phantom on a grid of any resolution
    scene           shapes in painting order, from which a phantom is rendered
    spec            specification of one phantom as data, drawn only from (seed, cohort, index)
    writing         write phantom cohorts: scans by any number of workers
"""
