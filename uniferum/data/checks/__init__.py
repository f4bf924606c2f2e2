"""A look at a dataset's folder before anything is prepared."""
