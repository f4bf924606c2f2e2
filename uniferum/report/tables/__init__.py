"""The tables of the report and how they are written."""
