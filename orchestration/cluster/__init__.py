"""Ray: connect to a cluster, run worker groups on it, clean up after them, submit a grid to it as a Ray Job."""
