"""Statements about numbers: claims, verdicts, comparisons, and where a number comes from."""
