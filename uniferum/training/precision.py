"""Choose device and precision.

bf16 autocast is used only on devices with bf16 arithmetic: on a CPU without AVX-512 BF16 or AMX it is emulated and nine
times slower than float32 (measured on an EPYC).
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from uniferum.training.config import Tf32

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Compute:
    """A device and its precision; ``reason`` explains the choice in words."""

    device: torch.device
    precision: Precision
    reason: str
    tf32: Tf32 = "none"
    """Which float32 products may use TF32; always ``none`` on a device without TF32."""

    def use(self) -> None:
        """Set TF32 for the whole process (PyTorch has no context manager for it); every run on a GPU sets it."""
        if self.device.type != "cuda":
            return
        torch.backends.cudnn.allow_tf32 = self.tf32 != "none"
        torch.set_float32_matmul_precision("high" if self.tf32 == "all" else "highest")

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context for forward passes."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()


def choose_compute(
    wanted: Literal["fp32", "bf16", "auto"], device: str | torch.device | None = None, *, tf32: Tf32 = "convolutions"
) -> Compute:
    """Choose the device (the first GPU, else the CPU) and the precision.

    Args:
        wanted: ``auto`` is bf16 on a GPU with bf16 arithmetic, else float32; ``bf16`` falls back to float32 on
            hardware without it.
        device: a device instead of the first GPU.
        tf32: which of the float32 products a GPU may round to TF32.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device)
    rounded: Tf32 = tf32 if chosen.type == "cuda" else "none"
    if wanted == "fp32":
        said = f" (TF32: {rounded})" if chosen.type == "cuda" else ""
        return Compute(chosen, "fp32", f"fp32 as configured{said}", rounded)
    if not computes_in_bf16(chosen):
        return Compute(chosen, "fp32", f"fp32, because this {chosen.type} has no bf16 arithmetic", rounded)
    if wanted == "auto" and chosen.type == "cpu":
        return Compute(chosen, "fp32", "fp32, the choice of auto on a CPU", rounded)
    return Compute(chosen, "bf16", f"bf16, which this {chosen.type} computes in", rounded)


def computes_in_bf16(device: torch.device) -> bool:
    """Whether the device has bf16 arithmetic in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
