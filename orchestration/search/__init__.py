"""Searches over the keys of one cell: Optuna proposes, Ray Tune runs the trials."""
