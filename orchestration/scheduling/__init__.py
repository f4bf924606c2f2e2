"""Which cell runs next and what follows a failure; knows no Ray.

Files:

    executor     the interface between the scheduler and what runs attempts
    scheduler    start cells by priority, retry infrastructure failures
    simulation   simulate a cluster in virtual time for the scheduler
"""
