"""Run many cells: grids and searches of training runs on Ray, recorded in MLflow.

**Rooms.** A room imports only rooms below it, and `uniferum`.

    prepare/           prepare a cohort into a store with a pool of processes or Ray
    segment.py         make the organ masks of a cohort on many GPUs
    report_source.py   collect the cells of a report from MLflow or from folders
    driver/            run a grid: hold the lease, connect to Ray and MLflow, schedule the cells, clean up
    search/            search hyperparameters of one cell: Optuna proposes values, Ray Tune runs the trials
    cluster/           Ray: connect, run worker groups, clean up after them, submit a grid as a Ray Job
    scheduling/        decide which cell runs next and what follows a failure; knows no Ray
    tracking/          MLflow: local server, supervisor, uploader of spools, reader for the report
    ledger/            states, events, commands and the lease of a grid in SQLite or PostgreSQL
    attempt/           one attempt at a cell in a worker: log, failures, progress, spool, watchdog
    grid/              grid file, cells, cells' folders, plan, estimates, states
    infra/             generate the files that start a grid on a cluster
    disk.py            detect a full disk, and retry until space is free
    gauges.py          names of the gauges that a running grid exports
    processes.py       identify and terminate process trees

**Processes**, and who starts them.

    shell              `uniferum grid run` becomes the driver. Other commands (`status`, `cancel`, `pause`, ...) read
                       the cells' folders and the ledger, and add commands to the ledger.
    driver             one per grid: the process of `uniferum grid run` itself, or on a cluster the Ray Job of
                       `uniferum grid submit`. It holds the lease in the ledger, and connects to Ray or starts it.
    Ray                head and raylets, started by the driver or already running (`--address`).
    MLflow server      a subprocess of the driver, if no server is configured. The driver restarts it when it dies.
    worker group       the workers of one Ray Train run. A Ray task of the driver starts it; there are as many groups
                       as fit on the cluster.
    worker             a process of a worker group, started by Ray Train. It trains cell after cell and talks to the
                       driver only through files. It stops after two minutes without the driver's heartbeat.

**Files of a cell's folder** (``ROOT/cells/NAME-FINGERPRINT``), and who writes them. With several workers the first one
writes, except for logs.

    axes.json          driver: label of the cell's value on each axis of the grid; absent without axes
    attempt.json       driver: token of the current attempt; a worker with another token stops writing
    stop.json          driver or shell: request to write a checkpoint and stop
    failure.json       driver: why the last attempt failed
    cell.log           every worker: all output, over all attempts
    stack-N-PID.txt    every worker: stack traces of attempt N when it stalled
    progress.json      worker: step, speed, metric, phase; once a second at most
    spool.jsonl        worker: lines for MLflow; the driver adds the results and the final status
    spooled.json       driver: the result that was added to the spool
    spool.sent.json    driver: how much of the spool is in MLflow
    config.yaml        worker: the resolved RunConfig
    identity.json      worker: what the training fingerprint is made of
    steps.jsonl        worker: metrics of every step
    checkpoints/       worker: ``last`` and ``best``
    predictions.parquet, metrics.parquet, masks.parquet, mask_metrics.parquet, environment.json
                       worker: after training, from the test sets
    validation_predictions.parquet
                       worker: after training, from the validation sets; thresholds are chosen on it
    result.json        worker: written last; the only mark of "done"

**Files between driver and workers.** ``ROOT/driver.beat`` is the driver's heartbeat. In the folder of a worker group:

    next.json          driver: the next cell; the first worker renames it to ``current.json`` when it takes the cell
    leave              driver: end after the current cell
    worker.json        first worker: its process and its Ray placement group
    ended-N-NAME.json  worker: how attempt N at cell NAME ended
"""
