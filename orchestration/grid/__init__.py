"""The grid file, its cells, the cells' folders on disk, and the plan of what is left to do.

Files:

    axes          axes of a grid: keys of a run with the values that cells have
    cells         expand a grid file into cells: each is a name and a complete RunConfig
    combinations  combinations of the values of axes in an entry of `cells`
    config        schema of a grid file
    data_plan     plan the data of a grid
    ensembles     members of the ensembles of a grid file
    estimates     estimate the hours of planned cells from finished cells similar to them
    folds         folds of a grid: one cell for each fold
    margins_plan  say which difference from the paper's values a grid can decide
    metrics       gauges of a running grid for Ray's dashboard and Prometheus, tagged with the cell's name
    paths         paths of a grid or search file, relative to its folder
    plan          plan a grid: find out from each cell's folder what is left to do, and why
    plan_table    format a plan as a table: one row per cell, and the totals in one line
    planned       one cell of a plan
    positions     where each cell stands for the report: its axes, and whether they are at the defaults
    recipe        describe the training recipe of a grid's cells
    records       read and write the state files of a cell's folder
    resources     resources of a cell
    sources       values of a grid file with their sources
    starts        cells that start from the weights of another cell
    states        states of a cell: in a plan, and in a running grid
    stores        the prepared stores that a grid file names
    unsent        records of a cell that are not in MLflow yet
    weights_plan  the pretrained weights of a plan
"""
