"""The prepared store: its files, their encoding and their location."""
