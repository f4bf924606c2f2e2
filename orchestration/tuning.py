"""Runs a search: Ray Tune with Optuna proposing and ASHA stopping; the study in Optuna's own storage is the truth.

Tune's own pickles are not read back: after a kill the study says which trials are finished, those left running are
proposed again with the same values, and their folders go on from their checkpoints.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestration import cluster, faults
from orchestration.cell import Assignment, attempt_cell
from orchestration.mirror import Mirror
from orchestration.records import CellRecord, cell_folder
from orchestration.search import Search, best_grid
from uniferum.errors import UniferumError
from uniferum.evaluation.files import write_text

if TYPE_CHECKING:
    import optuna

METRIC, STEP = "auroc", "step"


@dataclass(frozen=True)
class Found:
    """What a search found."""

    trials: int
    failed: int
    best: float
    params: dict[str, Any]
    steps: int
    grid_file: Path
    study_url: str


def run_search(search: Search, say: Callable[[str], None], *, address: str | None = None, mlflow: bool = True) -> Found:
    """Run what is left of a search.

    Raises:
        UniferumError: no trial ended with a value, or the cluster cannot hold a trial.
    """
    search.root.mkdir(parents=True, exist_ok=True)
    study = open_study(search)
    left = search.config.trials - take_up(study)
    say(f"study: {search.study_url} ({len(study.trials)} trials so far, {max(0, left)} to go)")
    if left > 0:
        grid = search.grid.replace(name=search.config.name, root=search.root)
        mirror = Mirror(grid if mlflow else grid.replace(tracking={"enabled": False}), say)
        mirror.start()
        joined = cluster.connect(address, grid.resources)
        try:
            say(f"Ray dashboard: {joined.dashboard}")
            cluster.check_fits(grid.resources)
            _tune(search, study, left, mirror, say)
        finally:
            mirror.finish()
            cluster.leave(joined)
    study = open_study(search)
    if any(not trial.state.is_finished() for trial in study.trials):
        raise KeyboardInterrupt  # Tune takes the first Ctrl-C as its own, and returns
    return _found(search, study)


def open_study(search: Search) -> "optuna.Study":
    """The study, made when it is first opened."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=optuna.storages.RDBStorage(search.study_url),
        study_name=search.config.name,
        direction="maximize",
        load_if_exists=True,
    )


def sampler(search: Search, asked: int) -> "optuna.samplers.BaseSampler":
    """TPE with every setting that Optuna 5 changed named, or random search for comparison.

    Args:
        search: whose seed is taken.
        asked: trials that the study has; a sampler begun anew with the same seed would draw the first values again.
    """
    import optuna

    seed = (search.config.seed + 1_000_003 * asked) % 2**32
    if search.config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=search.config.random_trials, multivariate=False, constant_liar=False
    )


def take_up(study: "optuna.Study") -> int:
    """Close trials that a kill left running and propose their values again; how many trials are finished.

    Optuna's heartbeat does not cover ask and tell, so without this they would stay RUNNING for ever.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
    return sum(trial.state.is_finished() and not trial.user_attrs.get("interrupted") for trial in study.trials)


def train_trial(params: Mapping[str, Any], search: Search) -> None:
    """Tune's trainable: one trial as a cell, in this process; its validations are reported, its test set is empty."""
    from ray import tune

    from uniferum.config import parse
    from uniferum.run import RunConfig, evaluate_run, train_run, training_fingerprint

    class Validations:
        """Tells Tune after each validation the best so far, which is the checkpoint a cell keeps; ASHA may end it."""

        best = -math.inf

        def params(self, values: Mapping[str, Any]) -> None:
            """Tune proposed them."""

        def metrics(self, step: int, values: Mapping[str, float]) -> None:
            """The mean validation AUROC."""
            value = values.get("validation/auroc")
            if value is not None and math.isfinite(value):
                self.best = max(self.best, value)
                tune.report({METRIC: self.best, STEP: step})

        def artifact(self, path: Path) -> None:
            """In the trial's folder."""

        def checkpoint(self, path: Path, step: int) -> None:
            """In the trial's folder."""

    config = parse(RunConfig, search.trial_keys(params), source="trial")
    stores = search.grid.places
    folder = trial_folder(search, training_fingerprint(config, stores))
    keys = config.model_dump(mode="json")
    given = Assignment("trial", str(folder), keys, stores, 1, "")
    outcome = attempt_cell(given, train_run, evaluate_run, [Validations()])
    if outcome.kind is not None:
        raise RuntimeError(f"{outcome.kind}: {outcome.reason}")


def trial_folder(search: Search, fingerprint: str) -> Path:
    """A trial's folder: its content names it, so the same values are never trained twice."""
    return cell_folder((search.root / "trials").resolve(), "trial", fingerprint)


def _tune(search: Search, study: "optuna.Study", left: int, mirror: Mirror, say: Callable[[str], None]) -> None:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its tables would mix with our lines
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    resources = search.grid.resources
    steps = search.cell.config.training.steps
    asha = search.config.asha
    proposer = OptunaSearch(
        space=search.space,
        metric=METRIC,
        mode="max",
        sampler=sampler(search, len(study.trials)),
        study_name=search.config.name,
        storage=study._storage,
    )
    absolute = Search(search.config.replace(root=search.root.resolve()), _absolute(search), search.cell)
    trainable = tune.with_resources(
        tune.with_parameters(train_trial, search=absolute), cluster.lane_resources(resources)
    )
    stopper = (
        ASHAScheduler(
            time_attr=STEP, max_t=steps, grace_period=min(steps, asha.grace_steps), reduction_factor=asha.reduction
        )
        if asha
        else None
    )
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=proposer,
            scheduler=stopper,
            num_samples=left,
            max_concurrent_trials=search.config.parallel or resources.parallel or 0,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=f"{search.config.name}-{int(time.time())}",
            storage_path=str((search.root / "tune").resolve()),
            failure_config=tune.FailureConfig(max_failures=1),
            verbose=0,
            callbacks=[_watching(search, mirror, say)],
        ),
    ).fit()


def _watching(search: Search, mirror: Mirror, say: Callable[[str], None]) -> Any:
    """A Tune callback: a line a trial, and every trial's spool is sent to MLflow."""
    from ray.tune import Callback

    class Watching(Callback):
        def __reduce__(self) -> tuple[Any, ...]:
            return Callback, ()  # Tune pickles its callbacks; nothing of ours is needed from there

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            watch_trials(search, mirror)

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            last = trial.last_result or {}
            value = f"{last[METRIC]:.4f} at step {last[STEP]}" if METRIC in last else "no value"
            say(f"trial {len([t for t in trials if t.is_finished()])}: {value} with {trial.config}")
            watch_trials(search, mirror)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            say(f"trial failed with {trial.config}: {_why(trial)}")

    return Watching()


def watch_trials(search: Search, mirror: Mirror) -> None:
    """Every trial's run in MLflow, under the search's one parent."""
    for folder in (search.root / "trials").glob("trial-*"):
        mirror.watch(folder, {"uniferum.search": search.config.name, "uniferum.name": folder.name})


def _why(trial: Any) -> str:
    text = str(getattr(trial, "get_error", lambda: None)() or "unknown")
    return faults.classify_text(text.splitlines()[-1] if text.splitlines() else text).reason


def _absolute(search: Search) -> Any:
    return search.grid.replace(stores=search.grid.places, root=search.grid.root.resolve())


def _found(search: Search, study: "optuna.Study") -> Found:
    from optuna.trial import TrialState

    finished = study.get_trials(states=(TrialState.COMPLETE,))
    if not finished:
        raise UniferumError("search", search.config.name, must="have a finished trial", cure="see the trials' cell.log")
    best = max(finished, key=lambda trial: trial.value if trial.value is not None else -math.inf)
    assert best.value is not None, "a completed trial has a value"
    path = search.root / "best.yaml"
    write_text(path, yaml.safe_dump(best_grid(search, best.params), sort_keys=False))
    failed = len(study.get_trials(states=(TrialState.FAIL,)))
    steps = sum(trained_steps(folder) for folder in (search.root / "trials").glob("trial-*"))
    return Found(len(finished), failed, best.value, best.params, steps, path, search.study_url)


def trained_steps(folder: Path) -> int:
    """How many steps a trial was trained."""
    from uniferum.training.reporter import read_steps

    return max((int(line["step"]) for line in read_steps(CellRecord(folder).files.steps)), default=0)
