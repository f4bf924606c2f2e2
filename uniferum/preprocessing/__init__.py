"""Raw scans to prepared volumes (paper 3.5)."""
