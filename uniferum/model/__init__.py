"""The compared systems (paper 3.2, 4)."""
