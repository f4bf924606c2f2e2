"""The report as one self-contained page: no network, no server, opened from a folder."""
