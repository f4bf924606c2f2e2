"""Keys without effect on a run are in no fingerprint, and their values change no weight."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.support.small_runs import make_config
from uniferum.config import merge
from uniferum.run import RunConfig, evaluate_run, train_run
from uniferum.run.identity import Reading
from uniferum.run.identity_keys import identity_of
from uniferum.run.no_effect import has_effect, with_defaults, without_effect
from uniferum.run.result import read_result
from uniferum.run_files import RunFiles

Stores = dict[str, Path]
SHORT = {"training": {"steps": 2, "validate_every": 2, "batch": 8, "micro_batch": 8}, "evaluate_on": ["CTRATE"]}
BARE = merge(SHORT, {"augmentation": {"probability": 0.0}, "data": {"tasks_per_volume": 1}})
ORGANS = {
    "model": {"mask_prior": 0.3},
    "augmentation": {"masks": "linear"},
    "sampling": {"organ_share": 3.0, "organ_share_of": "scans", "luna_factor": 0},
    "optim": {"segmentation_weight": 7.0, "focal_alpha": 0.9, "focal_gamma": 0.5},
}
REST = {
    "augmentation": {"rotation_deg": 40.0, "zoom": 0.5, "noise": 0.3, "offset": 0.2, "unit": "row"},
    "optim": {"plateau_factor": 0.5, "plateau_patience": 9},
    "model": {"encoder": {"frozen_norm": "running"}},
}
TEXT = {"model": {"text": {"name": "minilm", "layers": 3, "freeze": True, "max_tokens": 9}}}


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(RunFiles(folder).last / "model.safetensors")


@pytest.mark.parametrize(
    ("given", "idle"),
    [(BARE, merge(ORGANS, REST)), (merge(BARE, {"model": {"kind": "cnn"}}), merge(TEXT, merge(ORGANS, REST)))],
    ids=["uniferum", "cnn"],
)
def test_keys_without_effect_change_neither_fingerprint_nor_weights(
    stores: Stores, tmp_path: Path, given: dict[str, Any], idle: dict[str, Any]
) -> None:
    one, other = make_config(**given), make_config(**merge(given, idle))
    assert Reading(stores).fingerprints(one) == Reading(stores).fingerprints(other)
    train_run(one, stores, tmp_path / "one", device="cpu")
    train_run(other, stores, tmp_path / "other", device="cpu")
    first, second = _weights(tmp_path / "one"), _weights(tmp_path / "other")
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert [name for name in differing if not name.startswith("mask_head")] == []


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({"train_on": ["CTRATE", "SEG"]}, {section: {key: value}})
        for section, keys in ORGANS.items()
        for key, value in keys.items()
    ]
    + [
        ({"augmentation": {"probability": 0.1}}, {"augmentation": {key: value}})
        for key, value in REST["augmentation"].items()
    ]
    + [({"optim": {"schedule": "plateau"}}, {"optim": {key: value}}) for key, value in REST["optim"].items()]
    + [({"model": {"encoder": {"frozen_stages": 1}}}, {"model": REST["model"]})]
    + [({}, {"model": {"text": {key: value}}}) for key, value in {"hidden": 64, "expansion": 2.0, "heads": 1}.items()]
    + [({}, TEXT), ({"model": {"kind": "ct_clip"}}, TEXT)],
)
def test_the_same_keys_are_in_the_fingerprint_where_they_have_an_effect(
    given: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert identity_of(make_config(**given)) != identity_of(make_config(**merge(given, changes)))


def test_the_sizes_of_tiny_count_for_tiny_alone() -> None:
    named = {"model": {"text": {"name": "minilm"}}}
    sizes = {"hidden": 64, "heads": 8, "expansion": 2.0, "pre_norm": True}
    changed = merge(named, {"model": {"text": sizes}})
    assert identity_of(make_config(**named)) == identity_of(make_config(**changed))


def test_a_section_without_effect_holds_its_keys() -> None:
    idle = frozenset({"model.text", "optim.plateau_factor"})
    assert not has_effect("model.text.layers", idle)
    assert not has_effect("model.text", idle)
    assert has_effect("model", idle)
    assert has_effect("model.texture", idle)
    assert has_effect("optim.plateau_patience", idle)


def test_every_key_without_effect_is_a_key_of_a_run_with_a_default() -> None:
    config = make_config(**merge(BARE, {"model": {"kind": "cnn"}}))
    keys = config.model_dump(mode="json")
    plain = with_defaults(keys, without_effect(config))
    assert RunConfig.model_validate(plain).model_dump(mode="json") == plain
    assert plain["model"]["text"]["name"] != keys["model"]["text"]["name"]


def test_a_record_of_the_time_when_these_keys_counted_is_used_and_scored_again(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(**merge(SHORT, ORGANS))
    former = Reading(stores).former(config)
    assert former is not None
    with monkeypatch.context() as patch:
        patch.setattr(Reading, "fingerprints", lambda reading, config: former)
        old = train_run(config, stores, tmp_path, device="cpu")
    assert old.training_fingerprint == former.training != Reading(stores).fingerprints(config).training
    assert train_run(config, stores, tmp_path, device="cpu").record == old.record
    again = config.replace(evaluate_on=("CTRATE", "RADCHEST"))
    scored = evaluate_run(again, stores, tmp_path, device="cpu")
    assert scored.training_fingerprint == former.training
    assert scored.evaluation_fingerprint != former.evaluation
    record = read_result(tmp_path)
    assert record is not None
    assert record.record["steps"] == old.record["steps"]


def test_a_run_without_such_keys_has_no_former_fingerprint(stores: Stores) -> None:
    assert Reading(stores).former(make_config()) is None
