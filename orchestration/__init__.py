"""Everything about many runs: the grid, its plan, its records, Ray and MLflow."""
