"""One run from config to metrics: RunConfig, build, train_run, evaluate_run."""
