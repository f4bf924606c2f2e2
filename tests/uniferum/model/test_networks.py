"""Names of image networks, known without torch and equal to those of timm-3d and timm."""

import warnings

import pytest

from uniferum.config import parse
from uniferum.errors import UniferumError
from uniferum.model.config import ModelConfig
from uniferum.model.networks import EFFICIENTNETS, SLICE_NETWORKS, check_networks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import timm
    import timm_3d


def test_the_names_are_those_of_timm() -> None:
    assert sorted(EFFICIENTNETS) == sorted(timm_3d.list_models("*efficientnet*"))
    assert all(timm.is_model(name) for name in SLICE_NETWORKS)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"encoder": {"name": "tf_eficientnet_b0", "weights": "none"}},
            "g.yaml: model.encoder.name (tf_eficientnet_b0) must be an EfficientNet of timm-3d; "
            "did you mean 'tf_efficientnet_b0'?",
        ),
        (
            {"kind": "ct_net", "ct_net": {"network": "resnet81.tv_in1k"}},
            "g.yaml: model.ct_net.network (resnet81.tv_in1k) must be a network of timm; did you mean 'resnet18'?",
        ),
    ],
)
def test_an_unknown_network_is_refused_with_a_near_miss(keys: dict[str, object], message: str) -> None:
    with pytest.raises(UniferumError) as caught:
        check_networks(parse(ModelConfig, keys, source="g.yaml"), source="g.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["prevalence", "ct_clip", "ct_net"])
def test_a_system_without_this_network_does_not_read_its_name(kind: str) -> None:
    check_networks(parse(ModelConfig, {"kind": kind, "encoder": {"name": "unknown"}}, source="g.yaml"))
