"""Recorded predictions and metrics to the tables of the paper."""
