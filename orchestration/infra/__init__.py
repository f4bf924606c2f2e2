"""Generate the files that start a grid on a cluster from one small config."""
