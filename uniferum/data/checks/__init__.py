"""Checks of a dataset's folder before preparation.

Files:

    check         check a dataset's folder before preparation, and suggest the next command
    file_faults   find faults of a volume's or mask's file quickly
    findings      findings of a check of a dataset's folder
    layout        check that a dataset's folder fits its config
    look          check the files of all scans of a cohort in one pass, without decoding voxels
"""
