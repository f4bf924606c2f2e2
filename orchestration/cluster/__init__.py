"""Ray: connect to it, run worker groups on it, clean up after them, submit a grid to it as a job."""
