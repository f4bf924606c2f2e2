"""The losses of a fixed run change only together with the version of the results."""

from pathlib import Path

import pytest

from tests.support.small_runs import make_config
from uniferum.run import train_run
from uniferum.run.identity import RESULTS
from uniferum.training.reporter import read_steps

# By version. Processors, threads and instruction sets change these by at most 5e-6 (measured: AVX2, SSE4, plain C).
LOSSES = {
    1: (
        *(0.961566, 0.908934, 0.796452, 0.752312, 0.719396, 0.663476, 0.620375, 0.647957, 0.550306, 0.524551),
        *(0.582590, 0.611256, 0.522994, 0.560486, 0.461560, 0.550210, 0.498245, 0.546239, 0.493923, 0.442631),
    )
}


def test_twenty_steps_on_phantoms_give_the_losses_of_this_version_of_results(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    """If results change on purpose, increase RESULTS in uniferum/run/identity.py and add the losses here."""
    config = make_config(
        evaluate_on=[], train_on=["CTRATE", "SEG"], training={"steps": 20, "validate_every": 20, "checkpoint_every": 20}
    )
    train_run(config, stores, tmp_path, device="cpu")
    losses = [line["loss"] for line in read_steps(tmp_path / "steps.jsonl") if "loss" in line]
    assert losses == pytest.approx(LOSSES[RESULTS], abs=1e-4)
