"""Mask layers: read them, check them against their scan, and resample them to the prepared grids.

Files:

    checks     check a mask against its scan's anatomy
    classes    merge a TotalSegmentator folder with one binary file per class into one layer of ids
    files      read mask layers on their own grids
    geometry   orient a mask by its own header, and compare that header with its scan's
    grids      resample masks to the prepared grids
    layers     read a scan's mask layers
    values     interpret the numbers of a mask file
"""
