"""The two presets: what the paper's grid and the released code share, and where they differ."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.small_runs import make_config
from uniferum.config import fingerprint, load_yaml, parse
from uniferum.errors import UniferumError
from uniferum.run import RunConfig, training_fingerprint
from uniferum.run.build import open_workbench
from uniferum.run.identity_keys import identity_of
from uniferum.run.presets import PAPER, RELEASED, SHARED, with_preset
from uniferum.training.precision import choose_compute

Stores = dict[str, Path]
BASE = Path(__file__).resolve().parents[3] / "configs" / "base.yaml"
BEFORE_NEW_KEYS = {"CTRATE": "944a46996f8e875d", "CTRATE+SEG": "c7a49ba7ce79ee12"}
"""Fingerprints of the small run's identity before tf32, micro_batch_volumes and the other keys of these tests."""


def dotted(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}


def values(config: RunConfig, keys: dict[str, Any]) -> dict[str, Any]:
    return {key: getattr(getattr(config, key.split(".")[0]), key.split(".")[1]) for key in keys}


@pytest.mark.parametrize("mix", list(BEFORE_NEW_KEYS))
def test_a_finished_run_stays_finished_while_new_keys_keep_their_values_from_before(mix: str) -> None:
    config = make_config(train_on=mix.split("+"))
    explicit = config.replace(
        training={**config.training.model_dump(), "micro_batch_volumes": None, "tf32": "convolutions"}
    )
    assert fingerprint(identity_of(config)) == fingerprint(identity_of(explicit)) == BEFORE_NEW_KEYS[mix]


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"micro_batch": None, "micro_batch_volumes": 8}},
        {"training": {"tf32": "none"}},
        {"augmentation": {"unit": "row"}},
        {"augmentation": {"resampling": "stepwise"}},
        {"augmentation": {"masks": "linear"}, "train_on": ["CTRATE", "SEG"]},
        {"sampling": {"organ_share_of": "scans"}, "train_on": ["CTRATE", "SEG"]},
    ],
)
def test_a_new_key_at_another_value_is_another_training(stores: Stores, changes: dict[str, Any]) -> None:
    same = {"train_on": changes["train_on"]} if "train_on" in changes else {}
    assert training_fingerprint(make_config(**changes), stores) != training_fingerprint(make_config(**same), stores)


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": {"masks": "linear"}},
        {"sampling": {"organ_share_of": "scans"}},
        {"augmentation": {"unit": "row"}, "data": {"tasks_per_volume": 1}},
    ],
)
def test_a_new_key_without_effect_on_the_run_is_no_part_of_it(stores: Stores, changes: dict[str, Any]) -> None:
    same = {"data": changes["data"]} if "data" in changes else {}
    assert training_fingerprint(make_config(**changes), stores) == training_fingerprint(make_config(**same), stores)


def test_the_papers_grid_has_what_both_presets_share_and_the_papers_own() -> None:
    base = RunConfig.model_validate({"name": "x", "train_on": ["CTRATE", "SEG"], **load_yaml(BASE)})
    assert values(base, dotted(SHARED)) == dotted(SHARED)
    assert values(base, dotted(PAPER)) == dotted(PAPER)
    assert dotted(PAPER).keys() == dotted(RELEASED).keys()
    assert not dotted(PAPER).items() & dotted(RELEASED).items(), "what they share is not in both"


def test_the_released_preset_fills_every_key_that_is_not_given() -> None:
    filled = RunConfig.model_validate({"name": "x", "train_on": ["CTRATE"], "model": {"preset": "released"}})
    wanted = {**dotted(SHARED), **dotted(RELEASED)}
    assert values(filled, wanted) == wanted
    over = {**load_yaml(BASE), "name": "x", "train_on": ["CTRATE"], "model": {"preset": "released"}}
    assert values(RunConfig.model_validate(over), wanted) == wanted, "the paper's file sets no key that differs"


def test_a_key_given_by_hand_outranks_the_released_preset_and_null_is_a_value() -> None:
    by_hand = {"optim": {"clip_norm": None}, "augmentation": {"masks": "nearest"}, "data": {"tasks_per_volume": 4}}
    config = RunConfig.model_validate({"name": "x", "train_on": ["CTRATE"], "model": {"preset": "released"}, **by_hand})
    assert config.optim.clip_norm is None
    assert (config.augmentation.masks, config.augmentation.resampling) == ("nearest", "stepwise")
    assert config.data.tasks_per_volume == 4
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config, "a resolved config reads back"


def test_a_store_without_the_level_that_the_released_preset_reads_is_refused_before_training(stores: Stores) -> None:
    config = make_config(model={"preset": "released"})
    with pytest.raises(UniferumError, match=r"levels \(train\) must hold full.*levels=\[train,full\]") as caught:
        open_workbench(config, stores, choose_compute("fp32", "cpu"))
    assert "\n" not in str(caught.value)


def test_stores_of_another_preset_than_the_models_are_named(stores: Stores) -> None:
    benches = [
        open_workbench(make_config(model=model, data={"level": "train"}), stores, choose_compute("fp32", "cpu"))
        for model in ({}, {"preset": "released"})
    ]
    assert benches[0].preset_lines() == []
    (said,) = benches[1].preset_lines()
    assert "model.preset is released, but the stores of CTRATE, RADCHEST were prepared by preset paper" in said


@pytest.mark.parametrize("section", [None, "linear", ["linear"], 1])
def test_a_section_that_is_no_mapping_is_refused_under_the_released_preset_too(section: Any) -> None:
    raw = {"name": "x", "train_on": ["CTRATE"], "model": {"preset": "released"}, "augmentation": section}
    with pytest.raises(UniferumError, match="augmentation"):
        parse(RunConfig, raw, source="run.yaml")


@pytest.mark.parametrize("given", [{}, {"model": None}, {"model": "released"}, {"model": {"preset": "paper"}}])
def test_without_the_released_preset_nothing_is_filled_in(given: dict[str, Any]) -> None:
    assert with_preset(given) == given


@pytest.mark.parametrize(
    ("training", "fault"),
    [
        ({"micro_batch": 8, "micro_batch_volumes": 8}, "give either micro_batch .* or micro_batch_volumes"),
        ({"micro_batch": None}, "give either micro_batch .* or micro_batch_volumes"),
        ({"batch": 20, "micro_batch_volumes": 8}, "multiple of micro_batch_volumes"),
        ({"micro_batch_volumes": 0}, "greater than or equal to 1"),
        ({"micro_batch_volumes": "eight"}, "valid integer"),
        ({"tf32": True}, "'none', 'convolutions' or 'all'"),
    ],
)
def test_a_batch_of_two_units_or_of_none_is_refused_in_one_line(training: dict[str, Any], fault: str) -> None:
    with pytest.raises(UniferumError, match=fault) as caught:
        parse(RunConfig, {"name": "x", "train_on": ["CTRATE"], "training": training}, source="run.yaml")
    assert "\n" not in str(caught.value)
