"""Training resumes identically after a kill or a stop and on other workers, and reports why it stops."""

import math
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support import tiny_training as program
from tests.support.tiny_training import TinyModel, losses, tiny_training
from uniferum.errors import UniferumError
from uniferum.training.checkpoint import read_card
from uniferum.training.config import OptimConfig
from uniferum.training.errors import Interrupted, NonFiniteLoss
from uniferum.training.loop import SELECTION, Training
from uniferum.training.reporter import JsonlReporter, read_steps

PROGRAM = Path(str(program.__file__))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / "last" / "model.safetensors")


def assert_same_run(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def start(folder: Path, steps: int, *more: str) -> "subprocess.Popen[bytes]":
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(PROGRAM), str(folder), str(steps), *more]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.integration
def test_killed_at_a_random_moment_and_resumed_gives_the_same_losses_and_weights_bit_for_bit(tmp_path: Path) -> None:
    whole, killed, steps = tmp_path / "whole", tmp_path / "killed", 60
    tiny_training(whole, steps=steps).run()
    process = start(killed, steps)
    while not (killed / "steps.jsonl").exists():
        time.sleep(0.01)
        assert process.poll() is None, "the training ended before it could be killed"
    time.sleep(random.uniform(0.0, 0.4))
    process.send_signal(signal.SIGKILL)
    process.wait()
    tiny_training(killed, steps=steps).run()
    assert_same_run(whole, killed)


class Killed(BaseException):
    pass


def killed_at(call: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Kill a training at the ``call``-th of its reports and changes on disk; return whether it was reached."""
    left = [call]

    def counted(real):
        def change(*words, **named):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return real(*words, **named)

        return change

    with monkeypatch.context() as patched:
        for owner, name in ((JsonlReporter, "metrics"), (JsonlReporter, "checkpoint"), (Path, "rename")):
            patched.setattr(owner, name, counted(getattr(owner, name)))
        patched.setattr(Path, "replace", counted(Path.replace))
        try:
            wavering(folder).run()
        except Killed:
            return True
    return False


def wavering(folder: Path) -> Training:
    """Twelve steps whose second of three validations is the best."""
    training = tiny_training(folder)
    training.validate = lambda model: {SELECTION: {5: 0.6, 10: 0.9}.get(reached(folder), 0.7)}
    return training


def reached(folder: Path) -> int:
    return read_card(folder / "checkpoints" / "last")["progress"]["step"]


def test_killed_at_any_step_and_any_write_the_next_call_gives_the_same_losses_last_and_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, call = tmp_path / "whole", 1
    wavering(whole).run()
    assert read_card(whole / "checkpoints" / "best")["progress"]["step"] == 10
    while killed_at(call, tmp_path / str(call), monkeypatch):
        folder = tmp_path / str(call)
        progress = wavering(folder).run()
        assert_same_run(whole, folder)
        assert (progress.step, progress.best_step, progress.best_value) == (12, 10, 0.9)
        assert progress.history == (0.6, 0.9, 0.7)
        best, wanted = (load_file(run / "checkpoints" / "best" / "model.safetensors") for run in (folder, whole))
        assert all(torch.equal(best[name], wanted[name]) for name in wanted), call
        call += 1
    assert call > 40


@pytest.mark.parametrize("at", [5, 10, 12])
def test_a_stop_takes_effect_before_a_validation_which_the_next_call_makes_up(tmp_path: Path, at: int) -> None:
    whole, stopped, begun = tmp_path / "whole", tmp_path / "stopped", []
    tiny_training(whole).run()
    training = tiny_training(stopped, checkpoint_every=100, stop=lambda: losses(stopped)[-1][0] == at)
    plain = training.validate
    training.validate = lambda model: begun.append(1) or plain(model)
    with pytest.raises(Interrupted):
        training.run()
    assert reached(stopped) == at
    assert len(begun) == (at - 1) // 5, "the validation of this step was begun while a stop waited"
    tiny_training(stopped).run()
    assert_same_run(whole, stopped)
    assert history(stopped) == history(whole)


def history(folder: Path) -> list[float]:
    return read_card(folder / "checkpoints" / "last")["progress"]["history"]


def test_a_step_without_any_target_has_no_loss_and_ends_nothing(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, steps=3)
    steps = training.batches.steps

    def hollow(start: int, stop: int):
        for number, batches in enumerate(steps(start, stop)):
            none = torch.zeros(0, dtype=torch.int64)
            empty = {"label_target": torch.full((4,), math.nan), "seg_rows": none, "seg_target": torch.zeros(0, 8, 8)}
            yield [replace(batch, **empty) for batch in batches] if number == 1 else batches

    training.batches.steps = hollow
    assert training.run().step == 3
    assert [step for step, _ in losses(tmp_path)] == [1, 3]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_loss_stops_the_run_too(tmp_path: Path, value: float) -> None:
    with pytest.raises(NonFiniteLoss, match=r"loss of step 7 \((inf|nan)\) must be finite"):
        tiny_training(tmp_path, poison=6, value=value).run()


def test_a_finite_loss_with_an_infinite_gradient_stops_the_run_and_says_so(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, steps=3)
    training.model.class_head.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteLoss, match=r"gradient of step 1 \((inf|nan)\) must be finite"):
        training.run()


@pytest.mark.parametrize("at", [1, 5, 7])
def test_a_stop_writes_a_checkpoint_and_the_next_call_goes_on_from_it(tmp_path: Path, at: int) -> None:
    whole, stopped, asked = tmp_path / "whole", tmp_path / "stopped", []
    tiny_training(whole).run()

    def stop() -> bool:
        asked.append(1)
        return len(asked) == at

    with pytest.raises(Interrupted) as caught:
        tiny_training(stopped, stop=stop, checkpoint_every=100).run()
    assert caught.value.step == at
    assert read_card(stopped / "checkpoints" / "last")["progress"]["step"] == at
    tiny_training(stopped, checkpoint_every=100).run()
    assert_same_run(whole, stopped)


@pytest.mark.integration
def test_two_workers_give_the_losses_and_weights_of_one(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    tiny_training(alone).run()
    workers = [start(shared, 12, str(rank), "2") for rank in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    ours, theirs = losses(alone), losses(shared)
    assert [step for step, _ in ours] == [step for step, _ in theirs]
    assert max(abs(a - b) for (_, a), (_, b) in zip(ours, theirs, strict=True)) < 1e-5
    one, two = weights(alone), weights(shared)
    for name in one:
        assert torch.allclose(one[name].float(), two[name].float(), atol=1e-5), name


def test_running_statistics_of_a_step_are_those_of_plain_forward_passes(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, steps=1, optim=OptimConfig(lr=1e-9, warmup_steps=0))
    plain = TinyModel()
    plain.load_state_dict(training.model.state_dict())
    plain.train()
    for batch in next(training.batches.steps(0, 1)):
        plain.encode(batch.volume)
    training.run()
    ours, theirs = training.model.state_dict(), plain.state_dict()
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.allclose(ours[f"stem.1.{name}"].float(), theirs[f"stem.1.{name}"].float(), atol=1e-6), name


def test_a_steps_gradient_is_that_of_the_mean_over_all_its_rows(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, steps=1)
    training.model.stem[3].p = 0.0
    training.run()
    first = losses(tmp_path)[0][1]
    torch.manual_seed(0)
    model, total, rows = TinyModel(), 0.0, 0
    model.stem[3].p = 0.0
    model.train()
    for batch in next(training.batches.steps(0, 1)):
        output = model.read(model.encode(batch.volume), batch.row_volume, batch.prompts, batch.labels, batch.seg_rows)
        known = ~batch.label_target.isnan()
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        total += bce(output.class_logit[known], batch.label_target[known], reduction="sum").item()
        rows += int(known.sum()) + len(batch.seg_rows)
        for logit, target in zip(output.mask_logit, batch.seg_target, strict=True):
            p = torch.sigmoid(logit)
            p_t = torch.where(target == 1, p, 1 - p)
            alpha = torch.where(target == 1, 0.25, 0.75)
            total += 10 * (-alpha * (1 - p_t) ** 2 * p_t.log()).mean().item()
    assert first == pytest.approx(total / rows, rel=1e-5)


def test_a_nan_in_a_volume_stops_the_run_and_names_step_volumes_and_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss) as caught:
        tiny_training(tmp_path, poison=6).run()
    text = str(caught.value)
    assert "step 7" in text
    assert "TINY/6-0-0" in text
    assert str(tmp_path / "checkpoints" / "last") in text
    assert "step-00000006" in text
    assert all(torch.isfinite(tensor).all() for tensor in weights(tmp_path).values())
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), NonFiniteLoss)  # noqa: S301


def test_a_nan_at_the_first_step_says_that_there_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLoss, match="no checkpoint"):
        tiny_training(tmp_path, poison=0).run()


def test_a_folder_given_relative_to_the_current_one_keeps_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_training(Path("here"), steps=10).run()
    assert (tmp_path / "here" / "checkpoints" / "best" / "model.safetensors").exists()
    assert (tmp_path / "here" / "checkpoints" / "last" / "optimizer.pt").exists()


def test_a_folder_of_another_config_is_refused_naming_both(tmp_path: Path) -> None:
    tiny_training(tmp_path, steps=2).run()
    with pytest.raises(UniferumError, match=r"fingerprint f{16}.*fingerprint e{16}"):
        tiny_training(tmp_path, fingerprint="e" * 16).run()


def test_the_step_log_of_a_resumed_run_has_no_undone_lines(tmp_path: Path) -> None:
    log = JsonlReporter(tmp_path)
    for step in range(1, 5):
        log.metrics(step, {"loss": float(step)})
    with log.path.open("a") as lines:
        lines.write('{"step": 5, "lo')
    log.rewind(3)
    assert losses(tmp_path) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    log.metrics(3, {"validation/auroc": 0.5})
    log.rewind(3)
    assert len(read_steps(log.path)) == 4
    log.rewind(3, validated=False)
    assert [line["step"] for line in read_steps(log.path)] == [1, 2, 3]


def test_the_best_checkpoint_is_the_highest_validation_and_the_latest_while_none_is_defined(tmp_path: Path) -> None:
    values = iter([math.nan, 0.7, 0.6, math.nan, 0.65])
    training = tiny_training(tmp_path, steps=25)
    training.validate = lambda model: {"validation/auroc": next(values)}
    progress = training.run()
    assert (progress.best_step, progress.best_value) == (10, 0.7)
    assert read_card(tmp_path / "checkpoints" / "best")["progress"]["step"] == 10
    assert read_card(tmp_path / "checkpoints" / "last")["progress"]["step"] == 25
    assert not (tmp_path / "checkpoints" / "best" / "optimizer.pt").exists()
