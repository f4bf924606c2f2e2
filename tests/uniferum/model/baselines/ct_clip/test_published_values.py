"""CT-CLIP gives what the published code gives, for each stored output."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from uniferum.model.baselines.ct_clip.checkpoint import load_checkpoint, published_state
from uniferum.model.baselines.ct_clip.clip import contrastive_loss
from uniferum.model.baselines.ct_clip.names import unused_reason
from uniferum.model.baselines.ct_clip.zero_shot import ZeroShot
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text
from uniferum.model.tokenizer import PromptReader, word_tokenizer
from uniferum.model.transformer import Transformer, TransformerShape
from uniferum.preprocessing.geometry import Geometry

PEERS = Path(os.environ.get("UNIFERUM_PEERS", Path(__file__).resolve().parents[6] / "shared" / "reference" / "peers"))
CONFIG = ModelConfig.model_validate(
    {
        "kind": "ct_clip",
        "ct_clip": {
            "way": "zero_shot",
            "input": {"spacing_mm": None, "orientation": "RAS"},
            "vit": {
                "width": 32,
                "patch": 10,
                "patch_slices": 5,
                "spatial_layers": 2,
                "temporal_layers": 2,
                "heads": 4,
                "head_width": 8,
                "codes": 64,
            },
            "latent": 16,
        },
    }
)
GEOMETRY = Geometry(spacing_mm=(1, 1, 1), box_mm=(40, 40, 20), crop_mm=(40, 40, 20), model_shape=(40, 40, 20))
OUTPUTS = [
    "patch_embedding",
    "encoded",
    "quantised",
    "text_latents",
    "image_latents",
    "similarity",
    "contrastive_loss",
]


def _model() -> ZeroShot:
    shape = TransformerShape(hidden=24, heads=4, intermediate=48, words=60, positions=32)
    text = Text(Transformer(shape, 2), PromptReader(word_tokenizer([]), 32))
    return ZeroShot(CONFIG, GEOMETRY, text)


@pytest.fixture(scope="module")
def weights() -> Path:
    path = PEERS / "ct_clip_tiny.safetensors"
    if not path.exists():
        pytest.skip(f"the published code's values are not at {PEERS}; set UNIFERUM_PEERS to their folder")
    return path


@pytest.fixture(scope="module")
def stored(weights: Path) -> dict[str, Tensor]:
    return load_file(weights.with_name("ct_clip_tiny_io.safetensors"))


@pytest.fixture(scope="module")
def computed(weights: Path, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    model = _model()
    load_checkpoint(model, weights)
    with torch.no_grad():
        model.eval()
        stages = model.visual.stages(stored["video"])
        image = model.image_latents(stored["video"])
        text = model.text_latents(stored["input_ids"], stored["attention_mask"].bool())
        similarity = model.similarity(image, text)
    return {
        "patch_embedding": stages.patches,
        "encoded": stages.encoded,
        "quantised": stages.quantised,
        "text_latents": text,
        "image_latents": image,
        "similarity": similarity,
        "contrastive_loss": contrastive_loss(similarity[:, :2])[None],
    }


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_has_the_published_value(computed: dict[str, Tensor], stored: dict[str, Tensor], output: str) -> None:
    torch.testing.assert_close(computed[output], stored[output], atol=1e-5, rtol=0)


def test_every_tensor_of_the_published_file_is_used_or_known_to_be_unused(weights: Path) -> None:
    model, held = _model(), load_file(weights)
    loaded = load_checkpoint(model, weights)
    assert loaded.published
    again = published_state(model)
    for name in again:
        torch.testing.assert_close(again[name], held[name], atol=0, rtol=0)
    unused = held.keys() - again.keys()
    assert {name for name in unused if unused_reason(name) is None} == set()
    assert sum(loaded.left_out.values()) == len(unused)


def test_a_volume_of_the_runs_grid_reaches_the_encoder_as_the_published_video(
    weights: Path, stored: dict[str, Tensor]
) -> None:
    model = _model()
    load_checkpoint(model, weights)
    model.eval()
    video = stored["video"].clamp(-1, 1)
    volume = video.permute(0, 1, 3, 4, 2) / 2 + 0.5
    with torch.no_grad():
        torch.testing.assert_close(model.encode(volume), model.image_latents(video), atol=1e-5, rtol=0)
