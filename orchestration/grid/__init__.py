"""The grid file, its cells, their records on disk, and the plan made of both."""
