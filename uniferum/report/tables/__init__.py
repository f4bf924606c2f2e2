"""The tables of the report, and the formats in which they are printed."""
