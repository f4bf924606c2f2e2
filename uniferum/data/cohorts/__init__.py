"""Source datasets, each read from its files as downloaded."""
