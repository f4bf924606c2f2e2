"""Predictions, and metrics with confidence intervals."""
