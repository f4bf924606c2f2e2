"""Names of the gauges of a running grid; Ray exports them to Prometheus with the prefix ``ray_``."""

METRIC, STATE = "uniferum_metric", "uniferum_cell_state"
PROGRESS = ("uniferum_step", "uniferum_loss", "uniferum_volumes_per_second", METRIC)
"""The gauges of a running cell."""
