"""Prepared volumes to tasks to batches (paper 3.3)."""
