"""Files that start the same grid elsewhere, all generated from one small config."""
