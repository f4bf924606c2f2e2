"""The grid file, its cells, the cells' folders on disk, and the plan of what is left to do."""
