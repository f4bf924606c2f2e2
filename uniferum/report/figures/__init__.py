"""Figures of recorded cells: those of the paper, and curves.

Files:

    by_axis     effects of an axis, and learning curves by its values
    catalogue   the named figures
    curves      ROC, precision-recall and decision curves, learning curves and reliability diagrams
    flow        flow diagram of the test scans
    forest      Figures 1, 3 and 4 of the paper
    heatmap     Appendix heat maps 1 to 3
    parallel    parallel coordinates of a search
    style       style of all figures
"""
