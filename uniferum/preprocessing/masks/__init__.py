"""Mask layers: read them, check them against their scan, and resample them to the prepared grids."""
