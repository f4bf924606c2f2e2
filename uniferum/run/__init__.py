"""One run from config to metrics: RunConfig, train_run, evaluate_run and the two fingerprints."""

from uniferum.run.config import RunConfig

__all__ = ["RunConfig"]
