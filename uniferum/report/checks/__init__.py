"""Checks of numbers: claims, verdicts, paired tests, comparability with the paper, and provenance."""
