"""Which device computes, and in which number format.

bf16 autocast is used only where the device computes in it: on a CPU without AVX-512 BF16 or AMX it is emulated, nine
times slower than float32 (measured on an EPYC without them).
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from uniferum.training.config import Tf32

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Compute:
    """A device and the number format of its products; ``reason`` says why in words."""

    device: torch.device
    precision: Precision
    reason: str
    tf32: Tf32 = "none"
    """Which float32 products may be rounded to TF32; always ``none`` where the device has no such arithmetic."""

    def use(self) -> None:
        """Set TF32 for this process, which PyTorch has no context for; each run on a GPU sets its own."""
        if self.device.type != "cuda":
            return
        torch.backends.cudnn.allow_tf32 = self.tf32 != "none"
        torch.set_float32_matmul_precision("high" if self.tf32 == "all" else "highest")

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()


def choose_compute(
    wanted: Literal["fp32", "bf16", "auto"], device: str | torch.device | None = None, *, tf32: Tf32 = "convolutions"
) -> Compute:
    """Choose the device (the first GPU, else the CPU) and the precision.

    Args:
        wanted: ``auto`` is bf16 on a GPU that computes in it, float32 elsewhere; ``bf16`` is taken at its word only
            where the hardware has it.
        device: in place of the first GPU.
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
    """Whether products of bf16 numbers are an instruction of the device, not an emulation."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
