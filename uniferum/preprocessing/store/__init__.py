"""The prepared store: its files, their encoding, and where it lies."""
