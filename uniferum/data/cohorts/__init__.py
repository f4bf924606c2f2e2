"""The source datasets, each read from its own files as downloaded."""
