"""Checks of numbers: claims, verdicts, paired tests, comparability with the paper, and provenance.

Files:

    against         published values beside the cells that can be compared with them
    attainable      which margin the scans, positives and seeds at hand can decide
    claims          the nine claims of the paper, each as a list of checks
    comparability   decide whether a number can be compared with the paper's
    claims_table    the table of the claims
    compare         paired tests between cells on the same cases
    effects         the effect of an axis or a config key: differences to a base value
    encoder_pairs   paired tests between two text encoders
    examine         check the paper's claims on the user's cells
    lineage         trace a printed number to its runs
    margins         margins and comparability, which a grid file declares before the run
    readings        how the outcome of a check follows from a difference, its interval and its size
    recipe          compare the config of a cell with the recipe of the paper's row
    uncertainty     the error of a number over cases and seeds, and of the published number
    verdict         compare each number with the paper's: difference, interval and a verdict
    verdict_table   the table of verdicts
"""
