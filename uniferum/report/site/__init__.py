"""The report as a self-contained HTML page that needs neither a server nor a network."""
