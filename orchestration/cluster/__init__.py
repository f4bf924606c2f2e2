"""Ray: connect to a cluster, run worker groups on it, clean up after them, submit a grid to it as a Ray Job.

Files:

    cleanup        release orphaned placement groups
    connect        connect to Ray: start it here or join a cluster at an address
    job            submit a grid as one Ray Job
    preflight      check a grid's root before the start
    ray_executor   the executor on Ray
    worker_group   one Ray Train run whose workers train cell after cell
"""
