"""The report as a self-contained HTML page that needs neither a server nor a network.

Files:

    added_data  what masks and each added cohort changed
    cases       the hardest cases with their images
    cells       the list of cells, and what the page of one cell shows
    forest      tables and forest plots as HTML
    heat_map    the numbers of the heat map and the curves of each label
    overview    the first section: best cells, verdicts, forest plots
    page        write the page
    parts       files beside the page that are read when they are opened
    ranking     the cells of a column from the best to the worst
"""
