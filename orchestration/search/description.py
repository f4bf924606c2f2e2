"""What the trials of a study have in common: objective, space, config and data, recorded in the study.

A search that differs in any of them is refused the study, because its trials could not be compared. Number of trials,
sampler, seed and early stopping may change.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestration.grid.plan import missing_stores
from orchestration.grid.records import changes
from orchestration.search.config import Search
from orchestration.search.space import Dimension
from orchestration.search.trial import trial_cell
from uniferum.config import canonical_json, fingerprint
from uniferum.errors import StateError

if TYPE_CHECKING:
    import optuna

    from uniferum.run import RunConfig

DIRECTION = "maximize"
KEY = "uniferum"
"""User attribute of a study with its description."""
SHOWN = 3
"""Differences that an error names."""


def describe(search: Search, *, with_data: bool) -> dict[str, Any]:
    """Describe a search, as plain JSON.

    Args:
        search: the search.
        with_data: whether to read the stores of the training and selection splits.

    Raises:
        UniferumError: a store is missing or unreadable.
    """
    from uniferum.run.identity_keys import identity_of

    edges = list(search.edges())
    common = identity_of(edges[0])
    varied = {key for name in search.config.space for key in search.keys_of(name)}
    described = {
        "objective": {"metric": search.config.objective, "direction": DIRECTION},
        "space": {name: _of_dimension(search, name, one) for name, one in search.space.dimensions},
        "config": _without(common, varied),
        **({"data": _data(search, edges[0])} if with_data else {}),
    }
    return json.loads(canonical_json(described))


def _of_dimension(search: Search, name: str, dimension: Dimension) -> dict[str, Any]:
    """The values of a parameter; of an axis with the keys of each value, and the overrides that depend on it."""
    kind = {key: value for key, value in dimension.model_dump().items() if value and key != "choice"}
    if dimension.choice is None:
        return {**kind, "key": search.keys_of(name)[0]}
    if not search.config.space[name].axis:
        return {**kind, "key": name, "values": list(dimension.choice)}
    rules = [rule.model_dump() for rule in search.grid.overrides if name in rule.when]
    axis = search.grid.axes[name]
    return {**kind, "values": {label: axis.setting(label) for label in axis.labels}, "overrides": rules}


def _data(search: Search, config: "RunConfig") -> dict[str, Any]:
    """A fingerprint of each split that trials train on or are compared on."""
    from uniferum.run.identity import training_content

    content = training_content(config, search.grid.store_addresses)
    del content["config"]
    return {
        key: {name: fingerprint(one) for name, one in value.items()} if isinstance(value, Mapping) else value
        for key, value in content.items()
    }


def _without(tree: Mapping[str, Any], keys: set[str], before: str = "") -> dict[str, Any]:
    """A nested mapping without some dotted keys."""
    return {
        key: _without(value, keys, f"{before}{key}.") if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if f"{before}{key}" not in keys
    }


def join_study(study: "optuna.Study", search: Search) -> None:
    """Record the description of a search in a study without trials, or compare it with the recorded one.

    The data are compared if the stores are on this machine.

    Raises:
        StateError: the study belongs to a search with another objective, space, config or data; names what changed.
        UniferumError: a store is unreadable.
    """
    config = next(search.edges())
    absent = missing_stores_of(search, config)
    new = describe(search, with_data=not absent)
    old = study.user_attrs.get(KEY)
    if old is None or not study.trials:
        _refuse_older(study, search, absent=bool(absent))
        study.set_user_attr(KEY, new)
        return
    if "data" not in new or "data" not in old:
        new, old = ({key: value for key, value in one.items() if key != "data"} for one in (new, old))
    changed = changes(old, new)
    if changed:
        more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
        raise _other(search, "; ".join([*changed[:SHOWN], *more]))
    if "data" not in study.user_attrs[KEY] and not absent:
        study.set_user_attr(KEY, describe(search, with_data=True))


def missing_stores_of(search: Search, config: "RunConfig") -> list[str]:
    """Cohorts that trials train on and that have no store on this machine."""
    return list(missing_stores(replace(search.cell, config=config), search.grid.stores))


def _refuse_older(study: "optuna.Study", search: Search, *, absent: bool) -> None:
    """Refuse a study without a description whose trials have other parameters or no folder by today's fingerprint."""
    from optuna.trial import TrialState

    names = set(search.config.space)
    for trial in study.get_trials(deepcopy=False):
        strange = sorted(set(trial.params) - names)
        if strange:
            raise _other(search, f"trial {trial.number} has {', '.join(strange)}, which is not in the space")
        if trial.state == TrialState.COMPLETE and not absent and not trial_cell(search, trial.params).folder.exists():
            raise _other(search, f"trial {trial.number} was made with another config or other data")


def _other(search: Search, changed: str) -> StateError:
    cure = "Undo the change, or give the new search a study of its own: --study NAME."
    return StateError(f"Study {search.study_name} belongs to another search ({changed})", cure=cure)
