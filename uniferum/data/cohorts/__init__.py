"""Source datasets, each read from its files as downloaded.

Files:

    base               base class of cohorts
    ct_rate            CT-RATE v1 and v2
    dialect            detect how a table is written
    files              find a cohort's files inside its folder
    folder             a user's cohort: a folder of volumes, a table, and a YAML that describes it
    folder_config      settings of a folder cohort
    headers            faults of a NIfTI file that are visible in its header, without reading voxels
    inspect_ct         INSPECT: CT pulmonary angiography, embolism labels and seven outcomes
    known_tables       recognise a dataset's table by its columns, to name a wrong file in error messages
    luna16             LUNA16: chest CT with annotated nodules
    organ_masks        TotalSegmentator masks of one scan
    rad_chest          RAD-ChestCT: npz volumes, and columns merged to the paper's labels
    shared_files       detect one file under two scan ids
    splits             split by patient: seeded, disjoint, and with the paper's sizes if there are enough scans
    tables             read a dataset's tables as streams
    totalsegmentator   TotalSegmentator v2 output as a mask layer
    values             meaning of a cell in a dataset's label table
"""
