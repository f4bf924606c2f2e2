"""Searches over the keys of one cell: Optuna proposes, Ray Tune runs the trials.

Files:

    config   schema of a search file
    run      run a search: Ray Tune runs the trials, Optuna proposes values, ASHA stops poor trials
    study    the Optuna study of a search
    sync     keep MLflow in sync with a search
    trial    one trial of a search
    trials   read the trials of a search for the report
"""
