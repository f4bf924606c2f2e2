"""Read the trials of a search for the report, from its Optuna study."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.search.config import load_search
from uniferum.errors import UniferumError
from uniferum.report.tables.trials import Trial, Trials

if TYPE_CHECKING:
    import optuna

STUDY = "study.db"


def read_trials(path: Path) -> Trials:
    """Read all trials of a search, also of one that is running.

    Args:
        path: the search file; or the folder of the search, or the study in it (``study.db``), without the file.

    Raises:
        UniferumError: there is no study, or the file has several.
    """
    import optuna

    database = _database(path)
    if not database.is_file():
        raise UniferumError("--search", str(database), must="exist", cure=f"run the search first: uniferum tune {path}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{database.resolve()}")
    names = optuna.get_all_study_names(storage)
    if len(names) != 1:
        raise UniferumError("--search", str(database), must="hold one study", cure=f"it holds {len(names)}")
    study = optuna.load_study(study_name=names[0], storage=storage)
    trials = [one for one in study.get_trials(deepcopy=False) if not one.user_attrs.get("interrupted")]
    log = {key for one in trials for key, range_ in one.distributions.items() if getattr(range_, "log", False)}
    return Trials(names[0], [_trial(one) for one in trials], frozenset(log))


def _database(path: Path) -> Path:
    if path.suffix == ".db":
        return path
    return (path if path.is_dir() else load_search(path).root) / STUDY


def _trial(one: "optuna.trial.FrozenTrial") -> Trial:
    value = one.value if one.state.is_finished() and one.values else None
    return Trial(one.number, dict(one.params), math.nan if value is None else value, one.state.name.lower())
