"""Predictions to metrics with intervals."""
