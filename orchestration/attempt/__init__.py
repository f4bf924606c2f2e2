"""One attempt at a cell inside a worker process: what it is given, its log, its faults, its progress; needs no Ray.

Files:

    attempt    one attempt at a cell inside a worker process
    failures   classify exceptions: infrastructure failures are retried, user errors are not
    spool      reporters inside a worker: lines for MLflow, and the progress file
    watchdog   dump stack traces when a cell makes no progress
"""
