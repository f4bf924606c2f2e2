"""MLflow: the local server and its supervisor, the uploader of the cells' spools, the reader for the report."""
