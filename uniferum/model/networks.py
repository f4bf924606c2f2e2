"""Check the names of image networks when a grid file is read, without torch where the names are known here.

A test compares the names with those of timm-3d and timm.
"""

import warnings

from uniferum.errors import UniferumError, near_miss
from uniferum.model.config import ModelConfig, slice_network_key
from uniferum.systems import system_of

_SIZES = ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8")
_LITE = tuple(f"lite{size}" for size in range(5))
_EXPERTS = ("cc_b0_4e", "cc_b0_8e", "cc_b1_8e")
_PLAIN = (
    *(*_SIZES, *_LITE, *_EXPERTS, "b0_g8_gn", "b0_g16_evos", "b0_gn", "b1_pruned", "b2_pruned", "b3_g8_gn", "b3_gn"),
    *("b3_pruned", "el", "el_pruned", "em", "es", "es_pruned", "l2"),
)
EFFICIENTNETS = (
    *(f"efficientnet_{name}" for name in _PLAIN),
    *(f"efficientnetv2_{name}" for name in ("l", "m", "rw_m", "rw_s", "rw_t", "s", "xl")),
    "gc_efficientnetv2_rw_t",
    *(f"tf_efficientnet_{name}" for name in (*_SIZES, *_LITE, *_EXPERTS, "el", "em", "es", "l2")),
    *(f"tf_efficientnetv2_{name}" for name in ("b0", "b1", "b2", "b3", "l", "m", "s", "xl")),
)
"""Networks of timm-3d that ``model.encoder`` can be."""
SLICE_NETWORKS = ("resnet10t", "resnet18", "resnetv2_101x3_bit")
"""Networks over slices that are known without timm."""


def check_networks(config: ModelConfig, *, source: str = "") -> None:
    """Check that the image network of a system exists; an error begins with ``source``.

    Raises:
        UniferumError: timm-3d, or timm for networks over slices, does not have it; near names are listed.
    """
    where, encoder = f"{source}: " if source else "", config.encoder.name
    if system_of(config.kind).own_encoder and encoder not in EFFICIENTNETS:
        subject, must = f"{where}model.encoder.name", "be an EfficientNet of timm-3d"
        raise UniferumError(subject, encoder, must=must, cure=near_miss(encoder, EFFICIENTNETS))
    key, name = slice_network_key(config)
    plain = name.partition(".")[0]
    if not name or plain in SLICE_NETWORKS:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm
    if not timm.is_model(plain):
        known = timm.list_models(f"{plain[:6]}*") or timm.list_models()
        raise UniferumError(f"{where}{key}", name, must="be a network of timm", cure=near_miss(plain, known))
