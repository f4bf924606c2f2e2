"""CT-CLIP has as many parameters as the published model, and every one of them is accounted for."""

from typing import cast

import torch

from tests.support.small_models import SMALL_CT_CLIP, small_model
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.ct_clip.parameters import PUBLISHED, count_parameters
from uniferum.model.baselines.ct_clip.zero_shot import ZeroShot
from uniferum.model.config import ModelConfig
from uniferum.model.text import Text
from uniferum.model.tokenizer import PromptReader, word_tokenizer
from uniferum.model.transformer import Transformer, TransformerShape
from uniferum.preprocessing.geometry import Geometry

WIDTH, LATENT, TEXT, TOKENS = 512, 512, 768, 24 * 24
VOXELS = 20 * 20 * 10


def _published() -> CtClip:
    """The published sizes, without memory for the weights."""
    with torch.device("meta"):
        text = Text(Transformer(TransformerShape(TEXT, 12, 3072, 30522), 12), PromptReader(word_tokenizer([]), 512))
        return ZeroShot(ModelConfig(kind="ct_clip"), Geometry(), text)


def test_the_published_sizes_give_the_published_number() -> None:
    counts = count_parameters(_published())
    inner = WIDTH * 4 * 2 // 3
    position, attention = WIDTH * 27 + WIDTH, WIDTH + 4 * WIDTH * 256 + 2 * 32
    layer = position + attention + 2 * WIDTH + 3 * WIDTH * inner
    patches = 2 * VOXELS + VOXELS * WIDTH + WIDTH + 2 * WIDTH
    bias = (2 * WIDTH + WIDTH) + (WIDTH * WIDTH + WIDTH) + (8 * WIDTH + 8)
    assert counts.volume_encoder == patches + bias + 8 * layer + 2 * WIDTH
    assert counts.codebook == 8192 * WIDTH
    words = (30522 + 512 + 2) * TEXT + 2 * TEXT
    block = 4 * (TEXT * TEXT + TEXT) + 2 * TEXT * 3072 + 3072 + TEXT + 4 * TEXT
    assert counts.text_encoder == words + 12 * block
    assert counts.projections == TOKENS * WIDTH * LATENT + TEXT * LATENT + 1
    assert counts.head == 0
    # The published number counts tensors that its forward pass does not use: a second pair of projections, a pooler.
    unused = counts.projections - 1 + TEXT * TEXT + TEXT
    assert abs(counts.total + unused - PUBLISHED) < 0.02 * PUBLISHED


def test_the_head_of_classfine_is_counted_apart() -> None:
    model = cast(CtClip, small_model(kind="ct_clip", ct_clip=SMALL_CT_CLIP | {"way": "classfine"}))
    counts = count_parameters(model)
    assert counts.head == 3 * 16 + 3
    assert counts.total == sum(parameter.numel() for parameter in model.parameters())
