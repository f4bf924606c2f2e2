"""Run a grid: acquire the lease, connect to Ray and MLflow, schedule the cells, clean up."""
