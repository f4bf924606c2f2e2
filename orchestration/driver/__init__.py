"""Run a grid: acquire the lease, connect to Ray and MLflow, schedule the cells, clean up.

Files:

    events    forward scheduler events to the ledger, cell records, MLflow, webhook and terminal
    rounds    decide what is scheduled: due cells, then those that waited for one of them
    run       run a grid: acquire the lease, connect to Ray and MLflow, schedule the cells, clean up
    signals   handle Ctrl-C and SIGTERM from the wait for the lease until the last upload to MLflow
    webhook   notify a webhook when a cell fails or the grid ends
"""
