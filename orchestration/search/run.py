"""Run a search: Ray Tune runs the trials, Optuna proposes values, ASHA stops poor trials.

The Optuna study is the truth; Tune's own state is not read back. After a kill the study says which trials are finished;
interrupted ones are queued again with the same values and continue from the checkpoints in their folders.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestration.attempt import failures
from orchestration.cluster import connect, preflight
from orchestration.grid import weights_plan
from orchestration.grid.config import GridConfig
from orchestration.grid.data_plan import DataPlan
from orchestration.grid.plan import missing_stores
from orchestration.grid.planned import PlannedCell
from orchestration.grid.states import PlanState, RunStatus
from orchestration.search.best import best_grid
from orchestration.search.config import Search
from orchestration.search.description import join_study
from orchestration.search.study import UNCOUNTED, open_study, proposer, requeue_interrupted, search_lock
from orchestration.search.sync import SearchSync
from orchestration.search.trial import FAULT, METRIC, STEP, train_trial, trained_steps, trial_folders
from uniferum.atomic import write_text
from uniferum.errors import StateError, UniferumError

if TYPE_CHECKING:
    import optuna

    from uniferum.run import RunConfig


@dataclass(frozen=True)
class SearchResult:
    """Result of a search: number of trials, best value, its parameters and its grid file."""

    trials: int
    failed: int
    best: float
    params: dict[str, Any]
    steps: int
    grid_file: Path
    study_url: str


def run_search(
    search: Search, say: Callable[[str], None], *, address: str | None = None, mlflow: bool = True
) -> SearchResult:
    """Run the remaining trials of a search.

    Raises:
        UniferumError: another process runs it, its study belongs to another search, its root cannot be written or has
            too little free space, data is missing, the cluster is too small for a trial, or no trial ended with a
            value.
    """
    connect.check_address(address)
    preflight.check_root(search.root)
    with search_lock(search):
        study = open_study(search)
        join_study(study, search)
        trials_left = max(0, search.config.trials - requeue_interrupted(study))
        say(f"study: {search.study_url} ({len(study.trials)} trials so far, {trials_left} to go)")
        grid = search.grid.replace(name=search.config.name, root=search.root)
        sync = SearchSync(search, grid if mlflow else grid.replace(tracking={"enabled": False}), say)
        behind = sync.catch_up()
        if trials_left:
            check(search, grid, trials_left)
            _run_left(search, study, trials_left, sync, say, address)
        elif behind:
            sync.start()
            sync.finish(RunStatus.FINISHED)
        study = open_study(search)
        if _running(study):
            raise KeyboardInterrupt  # Tune catches the first Ctrl-C itself and returns
        return _result(search, study)


def check(search: Search, grid: GridConfig, trials_left: int) -> None:
    """Check the data, and the free space for two checkpoints of each remaining trial.

    Raises:
        UniferumError: data is missing, or the disk is too small.
    """
    trials = [replace(search.cell, config=config) for config in _by_data_and_model(search)]
    absent = missing_stores(trials[0], grid.stores)
    if absent:
        raise UniferumError("stores", ", ".join(absent), must="be prepared", cure="see uniferum data prepare")
    planned = [PlannedCell(trial, PlanState.DUE, "a trial", None, None, None, None) for trial in trials]
    DataPlan(grid, [replace(one, folder=search.root) for one in planned]).refuse()
    preflight.check_space(grid, planned[:1] * trials_left)
    weights_plan.fetch(planned)


def _by_data_and_model(search: Search) -> "list[RunConfig]":
    """One trial for each model and data that the space can give."""
    sections = {"model", "data", "sampling", "geometry", "training"}
    return list({config.model_dump_json(include=sections): config for config in search.edges()}.values())


def stopper(search: Search) -> Any:
    """Create ASHA with its rungs before the last step of the longest trial; None if there is no rung."""
    from ray.tune.schedulers import ASHAScheduler

    asha, last = search.config.asha, search.longest - 1
    if asha is None or asha.grace_steps > last:
        return None
    return ASHAScheduler(
        time_attr=STEP,
        max_t=last,
        grace_period=asha.grace_steps,
        reduction_factor=asha.reduction,
        stop_last_trials=False,
    )


def _run_left(
    search: Search,
    study: "optuna.Study",
    trials_left: int,
    sync: SearchSync,
    say: Callable[[str], None],
    address: str | None,
) -> None:
    sync.start()
    state = RunStatus.FAILED
    try:
        joined = connect.connect(address, search.grid.resources)
        try:
            say(f"Ray dashboard: {joined.dashboard}")
            connect.check_fits(search.grid.resources)
            preflight.check_seen_everywhere(search.root)
            _tune(search, study, trials_left, sync, say)
        finally:
            connect.leave(joined)
        interrupted = _running(open_study(search))
        for trial in interrupted:
            sync.trial_ended(trial.params, RunStatus.KILLED)
        state = RunStatus.KILLED if interrupted else RunStatus.FINISHED
    finally:
        sync.finish(state)


def _running(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.RUNNING,))


def _tune(
    search: Search, study: "optuna.Study", trials_left: int, sync: SearchSync, say: Callable[[str], None]
) -> None:
    from ray import tune

    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's tables would mix with our lines
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    resources = search.grid.resources
    absolute = replace(search, config=search.config.replace(root=search.root.resolve()), grid=_absolute(search))
    trainable = tune.with_resources(
        tune.with_parameters(train_trial, search=absolute), connect.worker_resources(resources)
    )
    tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=proposer(search, study),
            scheduler=stopper(search),
            num_samples=trials_left,
            max_concurrent_trials=search.config.parallel or resources.parallel or 0,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=f"{search.config.name}-{int(time.time())}",
            storage_path=str((search.root / "tune").resolve()),
            failure_config=tune.FailureConfig(max_failures=search.grid.policy.retries),  # user errors are not raised
            verbose=0,
            callbacks=[_tune_callback(sync, say)],
        ),
    ).fit()


def _tune_callback(sync: SearchSync, say: Callable[[str], None]) -> Any:
    """Create a Tune callback that prints one line per trial and uploads its spool to MLflow."""
    from ray.tune import Callback

    class TrialCallback(Callback):
        def __reduce__(self) -> tuple[Any, ...]:
            return Callback, ()  # Tune pickles its callbacks; a restored one is not used

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            sync.watch()

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            last = trial.last_result or {}
            fault = last.get(FAULT)
            value = f"{last[METRIC]:.4f} at step {last[STEP]}" if METRIC in last else "no value"
            outcome = f"failed ({fault})" if fault else value
            say(f"trial {len([t for t in trials if t.is_finished()])}: {outcome} with {trial.config}")
            sync.trial_ended(trial.config, RunStatus.FAILED if fault else RunStatus.KILLED)

        def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            say(f"a trial continues from its checkpoint ({_reason(trial)}): {trial.config}")

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            say(f"trial failed with {trial.config}: {_reason(trial)}")
            sync.trial_ended(trial.config, RunStatus.FAILED)

    return TrialCallback()


def _reason(trial: Any) -> str:
    text = str(getattr(trial, "get_error", lambda: None)() or "unknown").strip()
    return failures.classify_text(text.splitlines()[-1]).reason


def _absolute(search: Search) -> GridConfig:
    return search.grid.replace(stores=search.grid.store_addresses, root=search.grid.root.resolve())


def best_trial(search: Search, study: "optuna.Study") -> "optuna.trial.FrozenTrial":
    """The finished trial with the best value.

    Raises:
        StateError: there is none.
    """
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise StateError(f"No trial of search {search.config.name} has a value", cure="See the cell.log of each trial.")
    return study.best_trial


def best_so_far(search: Search) -> "tuple[optuna.trial.FrozenTrial, int]":
    """The best finished trial and the number of finished ones; starts nothing, also beside a running search.

    Raises:
        StateError: the search has no study, no finished trial, or the study of another search.
    """
    from optuna.trial import TrialState

    if not (search.root / "study.db").exists():
        cure = "Run it first: the same command without --promote."
        raise StateError(f"Search {search.config.name} has no study yet ({search.study_url})", cure=cure)
    study = open_study(search)
    join_study(study, search)
    return best_trial(search, study), len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _result(search: Search, study: "optuna.Study") -> SearchResult:
    from optuna.trial import TrialState

    best = best_trial(search, study)
    assert best.value is not None, "a completed trial has a value"
    path = search.root / (f"best-{search.config.study}.yaml" if search.config.study else "best.yaml")
    write_text(path, yaml.safe_dump(best_grid(search, best.params), sort_keys=False))
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    failed = [t for t in study.get_trials(states=(TrialState.FAIL,)) if not any(map(t.user_attrs.get, UNCOUNTED))]
    steps = sum(trained_steps(folder) for folder in trial_folders(search))
    return SearchResult(len(finished), len(failed), best.value, best.params, steps, path, search.study_url)
