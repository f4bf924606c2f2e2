"""The Optuna study of a search: its lock, storage and sampler, and the trials that a kill interrupted."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from orchestration.search.config import Search
from orchestration.search.description import DIRECTION
from orchestration.search.trial import FAULT, METRIC, STEP
from uniferum.errors import StateError

if TYPE_CHECKING:
    import optuna

EXCLUDED = "excluded"
"""User attribute of a trial whose combination of values the grid file excludes."""
UNCOUNTED = ("interrupted", EXCLUDED)
"""User attributes of trials that count as none: they never trained to an end of their own."""
PROPOSALS = 3
"""Excluded proposals in a row after which values are drawn at random among those that are not excluded."""
DRAWS = 1000
"""Random draws after which a search ends if all of them are excluded."""


@contextlib.contextmanager
def search_lock(search: Search) -> Iterator[None]:
    """Hold the lock of a search; the operating system frees it when the process ends.

    Raises:
        StateError: another process holds the lock.
    """
    lock = FileLock(search.root / "search.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        cure = "Wait for it to end; the same command then continues."
        raise StateError(f"Search {search.config.name} is running in another process", cure=cure) from None
    try:
        yield
    finally:
        lock.release()


def open_study(search: Search) -> "optuna.Study":
    """Open the study; create it if it does not exist."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=optuna.storages.RDBStorage(search.study_url),
        study_name=search.study_name,
        direction=DIRECTION,
        load_if_exists=True,
    )


def sampler(search: Search, trials: int) -> "optuna.samplers.BaseSampler":
    """Create the sampler: TPE, with each default that Optuna 5 changed set explicitly, or random search.

    Args:
        search: the search, for its seed.
        trials: number of trials in the study; it changes the seed, because a new sampler would repeat its first values.
    """
    import optuna

    seed = (search.config.seed + 1_000_003 * trials) % 2**32
    if search.config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=search.config.random_trials, multivariate=False, constant_liar=False
    )


def requeue_interrupted(study: "optuna.Study") -> int:
    """Mark trials that a kill interrupted as failed and queue their values again.

    Optuna's heartbeat does not cover ask-and-tell, so they would stay RUNNING forever. Call it under
    :func:`search_lock`.

    Returns:
        The number of finished trials, without combinations that the grid file excludes.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study._storage.set_trial_user_attr(trial._trial_id, "interrupted", True)
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
    return sum(t.state.is_finished() and not any(map(t.user_attrs.get, UNCOUNTED)) for t in study.trials)


def _allowed(search: Search, seed: int) -> dict[str, Any]:
    """Draw values that the grid file does not exclude at random: TPE may stay with one excluded combination."""
    import optuna

    study, space = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)), search.space
    for _ in range(DRAWS):
        values = space(study.ask())
        if not search.excluded(values):
            return values
    raise StateError(f"exclude of {search.grid_file} leaves out almost all values", cure="Search fewer axes.")


def proposer(search: Search, study: "optuna.Study") -> Any:
    """Create Ray Tune's OptunaSearch for the study; a trial with a fault or without a value counts as failed."""
    from optuna.trial import TrialState
    from ray.tune.search.optuna import OptunaSearch

    last_step: dict[str, int] = {}

    class Proposer(OptunaSearch):
        def suggest(self, trial_id: str) -> dict[str, Any] | None:
            """Propose values; combinations that the grid file excludes are marked and replaced."""
            own = self._ot_study
            assert own is not None, "OptunaSearch opens the study where it is given a space"
            for _ in range(PROPOSALS):
                values = super().suggest(trial_id)
                if values is None or not search.excluded(values):
                    return values
                trial = self._ot_trials.pop(trial_id)
                trial.set_user_attr(EXCLUDED, True)
                own.tell(trial, state=TrialState.FAIL)  # TPE does not read failed trials
            own.enqueue_trial(_allowed(search, len(own.trials)))
            return super().suggest(trial_id)

        def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
            """Report a value at its training step, once: a resumed trial repeats its values."""
            if FAULT not in result and result[STEP] > last_step.get(trial_id, -1):
                last_step[trial_id] = result[STEP]
                super().on_trial_result(trial_id, {**result, "training_iteration": result[STEP]})

        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            """Report the last value as the value of the trial."""
            failed = error or not result or FAULT in result or METRIC not in result
            super().on_trial_complete(trial_id, None if failed else result, failed)

    return Proposer(
        space=search.space,
        metric=METRIC,
        mode="max",
        sampler=sampler(search, len(study.trials)),
        study_name=search.study_name,
        storage=study._storage,
    )
