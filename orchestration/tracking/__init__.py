"""MLflow: the local server, its supervisor, the uploader of what cells have written, the reader of the report."""
