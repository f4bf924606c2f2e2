"""Phantom cohorts: synthetic thoraces with visible findings, in the file layouts of the real datasets."""
