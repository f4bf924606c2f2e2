"""The report: tables, figures, tests and a page, made from recorded predictions and metrics.

Files:

    axes             what cells vary: axes of a grid, or keys of the recorded configs
    checks/          checks of numbers: claims, verdicts, paired tests, comparability with the paper, and provenance
    cited_systems    the systems whose numbers the paper cites: rows and published settings
    datacard         data card of prepared stores
    ensembles        rows that average the logits of cells, case by case
    figures/         figures of recorded cells: those of the paper, and curves
    guidelines/      tables that reporting guidelines ask for: operating points, decision curves, subgroups, flow
    published        the numbers that the paper prints, each with its table or section
    recompute        compute the scores of cells again from their prediction files
    read_records     read the records of cells from their folders
    records          records of cells for the report: configuration, scores and files
    registry         the registry of published values
    settings         in what cells of one row differ, beside seed and fold
    site/            the report as a self-contained HTML page that needs neither a server nor a network
    systems          names of text encoders; whether a cell is the paper's system
    tables/          the tables of the report, and the formats in which they are printed
    unfinished       cells that started but have no result
"""
