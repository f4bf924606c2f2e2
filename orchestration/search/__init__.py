"""Searches over axes and keys of one cell: Optuna proposes, Ray Tune runs the trials.

Files:

    best          the best trial as a grid file of its own
    config        schema of a search file
    description   what the trials of a study have in common, recorded in the study
    promote       write the best trial into its grid file, as a cell with a name
    run           run a search: Ray Tune runs the trials, Optuna proposes values, ASHA stops poor trials
    space         the search space: ranges of keys and axes of the grid file
    study         the Optuna study of a search
    sync          keep MLflow in sync with a search
    trial         one trial of a search
    trials        read the trials of a search for the report
"""
