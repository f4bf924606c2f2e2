"""The numbers of parameters follow from the published sizes, and the page of the models has them."""

from pathlib import Path

import torch

from tests.support.small_models import small_model
from uniferum.model.config import ModelConfig
from uniferum.model.parameters import count_parameters, parameters_by_part, parameters_line
from uniferum.model.registry import build_model
from uniferum.preprocessing.geometry import Geometry

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "model.md"


def _published(kind: str, labels: int) -> torch.nn.Module:
    config = ModelConfig.model_validate({"kind": kind, "encoder": {"weights": "none"}})
    with torch.device("meta"):
        return build_model(config, Geometry(), tuple(map(str, range(labels))), 0)


def _row(title: str) -> str:
    return next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {title} |"))


def test_ct_net_has_the_parameters_of_its_equations() -> None:
    parts = parameters_by_part(_published("ct_net", 83))
    reduce = (134 * 27 + 1) * 64 + (64 * 27 + 1) * 32 + (32 * 12 + 1) * 16
    head = (7200 + 1) * 128 + (128 + 1) * 96 + (96 + 1) * 83
    assert parts == {"features": 11_689_512 - 513_000, "reduce": reduce, "head": head}, "ResNet-18 without its head"
    assert f"{sum(parts.values()) / 1e6:.2f}" in _row("`ct_net`, `cnn_draelos`, 83 labels")


def test_cnn_transformer_has_the_parameters_of_its_equations() -> None:
    parts, width = parameters_by_part(_published("cnn_transformer", 1)), 6144
    layer = 4 * (width * width + width) + (width * 512 + 512) + (512 * width + width) + 4 * width
    assert parts["layers"] == layer
    assert parts["attention"] == width + 250
    assert parts["head"] == width + 1
    assert f"{sum(parts.values()) / 1e6:.1f}" in _row("`cnn_transformer`, one label")


def test_a_line_names_parts_and_the_published_number() -> None:
    model = small_model(kind="ct_net")
    said = parameters_line("ct_net", model)
    assert said.startswith(f"CT-NET: {count_parameters(model) / 1e6:.2f} million parameters (features ")
    assert "none published" in said
    assert "published: 440.0, arXiv:2512.00597" in parameters_line("ct_clip", model)
