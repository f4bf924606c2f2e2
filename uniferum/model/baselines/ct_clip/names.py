"""Names of CT-CLIP's tensors in the published code, and the tensors of its file that the forward pass does not use."""

import re

from uniferum.model.text import hub_names

_VISION = "visual_transformer."
_TEXT = "text_transformer."
_STACKS = {"spatial": "enc_spatial_transformer", "temporal": "enc_temporal_transformer"}
_TOP = {
    "temperature": "temperature",
    "image_latent.weight": "to_visual_latent.weight",
    "text_latent.weight": "to_text_latent.weight",
    "visual.quantizer.codes": f"{_VISION}vq._codebook.embed",
    "visual.quantizer.usage": f"{_VISION}vq._codebook.cluster_size",
}
_MODULES = {
    "visual.patches.norm_in": "to_patch_emb.1",
    "visual.patches.project": "to_patch_emb.2",
    "visual.patches.norm_out": "to_patch_emb.3",
    "visual.position_bias.first": "spatial_rel_pos_bias.net.0.0",
    "visual.position_bias.second": "spatial_rel_pos_bias.net.1.0",
    "visual.position_bias.last": "spatial_rel_pos_bias.net.2",
}
_LAYER = {
    "position.convolution.weight": "0.dsconv.weight",
    "position.convolution.bias": "0.dsconv.bias",
    "attention.norm.scale": "1.norm.gamma",
    "attention.norm.shift": "1.norm.beta",
    "attention.query.weight": "1.to_q.weight",
    "attention.key_value.weight": "1.to_kv.weight",
    "attention.out.weight": "1.to_out.weight",
    "attention.query_scale": "1.q_scale",
    "attention.key_scale": "1.k_scale",
    "feed_forward.norm.weight": "3.0.weight",
    "feed_forward.norm.bias": "3.0.bias",
    "feed_forward.up.weight": "3.1.weight",
    "feed_forward.down.weight": "3.4.weight",
}
_END = {"scale": "gamma", "shift": "beta"}

HEAD = {"head.weight": "classifier.weight", "head.bias": "classifier.bias"}
"""Tensors of ClassFine's head."""
WRAPPERS = ("module.", "trained_model.")
"""Prefixes that training scripts put before all names: of DataParallel, and of ClassFine around CT-CLIP."""
UNUSED = {
    r"visual_transformer\.to_patch_emb_first_frame\.": "the patches of a single image",
    r"visual_transformer\.to_pixels": "the decoder of the autoencoder that came before",
    r"visual_transformer\.(vgg|discr)\.": "the losses of the autoencoder that came before",
    r"to_(text|visual)_latent_extra\.": "second projections, which are switched off",
    r"text_transformer\.pooler\.": "a pooler that nothing reads",
    r"text_transformer\.embeddings\.position_ids$": "the numbers 0 to 511",
    r".*\.context_norm\.": "the norm of a context, which there is none of",
    r".*\.null_kv$": "additional keys and values, of which there are none",
    r".*\.vq\._codebook\.initted$": "a mark of the codebook's initialisation",
}
"""Patterns of the names in a published file that its forward pass does not use, and what they are."""


def published_names(name: str, *, pre_norm: bool = False) -> list[str]:
    """Names in the published code of the tensors that form one of ours (three for the fused queries, keys, values).

    ``pre_norm``: whether the text encoder is one.
    """
    if name in _TOP:
        return [_TOP[name]]
    if name in HEAD:
        return [HEAD[name]]
    if name.startswith("transformer."):
        return [_TEXT + one for one in hub_names(name.removeprefix("transformer."), pre_norm=pre_norm)]
    module, _, kind = name.rpartition(".")
    if module in _MODULES:
        return [f"{_VISION}{_MODULES[module]}.{kind}"]
    if layer := re.fullmatch(r"visual\.(spatial|temporal)\.layers\.(\d+)\.(.+)", name):
        return [f"{_VISION}{_STACKS[layer[1]]}.layers.{layer[2]}.{_LAYER[layer[3]]}"]
    _, stack, norm = module.split(".")
    assert norm == "norm", "every other tensor of the two transformers is in a layer"
    return [f"{_VISION}{_STACKS[stack]}.norm_out.{_END[kind]}"]


def without_wrapper(name: str) -> str:
    """A name without the prefixes of training scripts."""
    for prefix in WRAPPERS:
        name = name.removeprefix(prefix)
    return name


def unused_reason(name: str) -> str | None:
    """What a tensor of a published file is that the forward pass does not use; None for all others."""
    return next((reason for pattern, reason in UNUSED.items() if re.match(pattern, name)), None)
