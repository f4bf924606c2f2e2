"""What is known of a running grid: states, attempts, the lease of its driver, commands of other shells.

Files:

    commands   control a grid from another shell
    database   the database of a ledger: SQLite or PostgreSQL
    lease      renew the driver's lease in a background thread
    ledger     states, attempts, commands and the lease of a grid
    status     rows of `grid status`
    summary    summary of a grid run: exit code, and notes on its cells
"""
