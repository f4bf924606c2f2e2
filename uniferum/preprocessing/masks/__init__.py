"""Mask layers: read, checked against their scan, put on the prepared grids."""
