"""Phantom cohorts: thoraces with findings that can be seen, written in the real datasets' own layouts."""
