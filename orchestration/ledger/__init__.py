"""What is known of a running grid: states, attempts, the lease of its driver, commands of other shells."""
