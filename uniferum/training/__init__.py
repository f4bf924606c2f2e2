"""One training run (paper 3.6)."""
