"""A search's study in Optuna's own storage: who proposes, what a kill left, and the one process that may drive it."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from orchestration.search.config import Search
from orchestration.search.trial import FAULT, METRIC, STEP
from uniferum.errors import UniferumError

if TYPE_CHECKING:
    import optuna


@contextlib.contextmanager
def only_one(search: Search) -> Iterator[None]:
    """Hold the search's lock, which the system frees when its process is gone.

    Raises:
        UniferumError: another process has it; its running trials are not to be touched.
    """
    lock = FileLock(search.root / "search.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        cure = "wait for it to end; the same command then goes on where it was"
        raise UniferumError("search", search.config.name, must="not run in another process", cure=cure) from None
    try:
        yield
    finally:
        lock.release()


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

    Optuna's heartbeat does not cover ask and tell, so without this they would stay RUNNING for ever. Call it under
    :func:`only_one`.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
    return sum(trial.state.is_finished() and not trial.user_attrs.get("interrupted") for trial in study.trials)


def proposer(search: Search, study: "optuna.Study") -> Any:
    """Ray Tune's OptunaSearch on the study; a trial that ended by a fault or without a value has failed."""
    from ray.tune.search.optuna import OptunaSearch

    told: dict[str, int] = {}

    class Proposer(OptunaSearch):
        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            """Values lie at their training step; Optuna takes each once, though a resumed trial says it again."""
            if FAULT not in result and result[STEP] > told.get(trial_id, -1):
                told[trial_id] = result[STEP]
                super().on_trial_result(trial_id, {**result, "training_iteration": result[STEP]})

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            """The last value is the trial's."""
            failed = error or not result or FAULT in result or METRIC not in result
            super().on_trial_complete(trial_id, None if failed else result, failed)

    return Proposer(
        space=search.space,
        metric=METRIC,
        mode="max",
        sampler=sampler(search, len(study.trials)),
        study_name=search.config.name,
        storage=study._storage,
    )
