"""The report as a self-contained HTML page that needs neither a server nor a network.

Files:

    cases   the hardest cases with their images
    cells   the list of cells, and the details of one cell
    page    write the page
"""
