"""MLflow: the local server and its supervisor, the uploader of the cells' spools, the reader for the report.

Files:

    client         settings of the MLflow client: no retries, 30 s time-out, quiet
    reader         write a finished cell's results to its spool; read finished cells from MLflow
    server         start, find and stop the grid's own MLflow server
    spool_reader   read a spool: complete lines from an offset, and the metrics that were not sent before
    supervisor     supervise the local MLflow server
    sync           keep MLflow in sync with a grid
    uploader       upload the spools of cells to MLflow
"""
