"""Checks of a dataset's folder before preparation."""
