"""bf16 is chosen only on devices with bf16 arithmetic, and the reason is given."""

import pytest
import torch

from uniferum.training import precision
from uniferum.training.config import Tf32
from uniferum.training.precision import choose_compute

CPU = torch.device("cpu")


@pytest.mark.parametrize("has", [True, False])
def test_bf16_on_a_cpu_is_taken_at_its_word_only_where_the_cpu_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    monkeypatch.setattr(precision, "computes_in_bf16", lambda device: has)
    chosen = choose_compute("bf16", "cpu")
    assert chosen.precision == ("bf16" if has else "fp32")
    assert ("no bf16" in chosen.reason) is not has
    with chosen.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if has else torch.float32)


def test_auto_stays_with_float32_on_a_cpu_and_fp32_anywhere() -> None:
    assert choose_compute("auto", "cpu").precision == "fp32"
    assert choose_compute("fp32", "cpu").precision == "fp32"


@pytest.mark.parametrize(
    ("tf32", "convolutions", "products"), [("none", False, False), ("convolutions", True, False), ("all", True, True)]
)
def test_tf32_is_set_on_a_gpu_as_the_run_says_and_never_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tf32: Tf32, convolutions: bool, products: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    before = torch.get_float32_matmul_precision()
    try:
        chosen = choose_compute("fp32", "cuda", tf32=tf32)
        assert (chosen.tf32, f"TF32: {tf32}" in chosen.reason) == (tf32, True)
        chosen.use()
        assert torch.backends.cudnn.allow_tf32 is convolutions
        assert (torch.get_float32_matmul_precision() != "highest") is products
        choose_compute("fp32", "cpu", tf32="none").use()
        assert torch.backends.cudnn.allow_tf32 is convolutions, "a CPU changes nothing"
    finally:
        torch.set_float32_matmul_precision(before)
    assert choose_compute("fp32", "cpu", tf32=tf32).tf32 == "none"


def test_the_capability_is_what_the_cpu_says_of_itself() -> None:
    flags = open("/proc/cpuinfo").read() if torch.backends.cpu.get_cpu_capability() != "DEFAULT" else ""  # noqa: SIM115, PTH123
    if not flags:
        pytest.skip("this machine has no /proc/cpuinfo to compare with")
    assert precision.computes_in_bf16(CPU) == ("avx512_bf16" in flags or "amx_tile" in flags)
