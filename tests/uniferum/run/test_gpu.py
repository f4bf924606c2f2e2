"""The same run on a GPU: the CPU's losses in float32, finite ones in bf16, and inputs resampled on the device."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.small_runs import make_config
from uniferum.run import train_run
from uniferum.training.reporter import read_steps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def _losses(stores: dict[str, Path], folder: Path, device: str, **changes: Any) -> list[float]:
    config = make_config(train_on=["CTRATE", "SEG"], **changes)
    record = train_run(config, stores, folder, device=device).record
    assert record["devices"]["kind"] == device
    return [line["loss"] for line in read_steps(folder / "steps.jsonl") if "loss" in line]


def test_a_gpu_gives_the_losses_of_the_cpu_in_float32(stores: dict[str, Path], tmp_path: Path) -> None:
    here = _losses(stores, tmp_path / "cpu", "cpu")
    # cuDNN's convolutions may round to TF32, 10 bits of mantissa.
    assert _losses(stores, tmp_path / "gpu", "cuda") == pytest.approx(here, abs=2e-2)


@pytest.mark.parametrize("resample", ["host", "device"])
def test_bf16_learns_with_inputs_from_either_side(stores: dict[str, Path], tmp_path: Path, resample: str) -> None:
    changes = {"training": {"precision": "bf16", "steps": 20, "validate_every": 20}, "data": {"resample": resample}}
    losses = _losses(stores, tmp_path, "cuda", **changes)
    assert all(torch.isfinite(torch.tensor(losses)))
    assert sum(losses[-5:]) < sum(losses[:5])
