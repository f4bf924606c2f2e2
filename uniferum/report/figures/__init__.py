"""Figures of recorded cells: those of the paper, and curves."""
