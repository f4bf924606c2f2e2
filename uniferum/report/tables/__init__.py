"""The tables of the report, and the formats in which they are printed.

Files:

    catalogue      the named tables
    entries        a number with its counts and interval, or the reason why there is none
    fitting        fit the columns of a sheet into a width
    flagged        quality flags in tables
    folding        what of a protocol is printed below its table
    inputs         protocol lines on the input of cells
    naming         names of cells in a report
    paper          tables of group means, as in the paper
    pivot          tables of the user's own and tables of labels
    protocol       protocol lines of a table
    repeats        seeds and folds of one number
    roles          roles of numbers: in-distribution, shared, zero-shot
    rendering      render tables as terminal text, Markdown, LaTeX, HTML, CSV or JSON
    rounded        numbers as rounded text, which CSV and JSON print in full
    row_counts     training rows of cells
    scoring        protocol lines on other labels and on test-time augmentation
    seed_spread    the spread over seeds, and the intervals that it widens
    segmentation   scores of masks in tables
    shared_lines   merge sentences that apply to several cells of a table
    sheet          headings, rows of text and notes, and their output formats
    splits         protocol lines on the test splits of cells
    trials         trials of a search
    wording        AUROC of labels under other wordings of their prompts
"""
