"""Faster versions of PyTorch operations, equal within rounding."""
