"""Checkpoints are complete or absent, name their run, and refuse other content with an error of one line."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.tiny_training import TinyModel, tiny_training
from uniferum.errors import OtherHardware, UniferumError
from uniferum.training.checkpoint import Checkpoints, Identity, load_weights, read_card
from uniferum.training.config import OptimConfig
from uniferum.training.optim import build_optimizer
from uniferum.training.state import TrainingProgress, random_seed


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a finished tiny training."""
    tiny_training(tmp_path, steps=4).run()
    return tmp_path / "checkpoints"


def fresh(folder: Path) -> tuple[Checkpoints, TinyModel, torch.optim.Optimizer]:
    model = TinyModel()
    return Checkpoints(folder, Identity("tiny", "f" * 16, {}, ())), model, build_optimizer(model, OptimConfig())


def test_a_kill_at_any_write_leaves_a_whole_checkpoint_to_go_on_from(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies_at(call: int) -> bool:
        """Whether a save was interrupted at its ``call``-th change on disk; the checkpoint must load in any case."""
        folder, left = tmp_path / f"killed-{call}", [call]
        shutil.copytree(saved, folder, symlinks=True)
        checkpoints, model, optimizer = fresh(folder)

        def counted(real):
            def change(*words, **named):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return real(*words, **named)

            return change

        with monkeypatch.context() as patched:
            for name in ("rename", "replace", "symlink_to", "unlink"):
                patched.setattr(Path, name, counted(getattr(Path, name)))
            patched.setattr(os, "fsync", counted(os.fsync))
            patched.setattr(shutil, "rmtree", counted(shutil.rmtree))
            try:
                checkpoints.save(model, optimizer, TrainingProgress(step=9, best_step=9, best_value=0.9), best=True)
                survived = True
            except Killed:
                survived = False
        again, model, optimizer = fresh(folder)
        progress = again.load_last(model, optimizer)
        assert progress is not None
        assert progress.step in (4, 9)
        load_weights(model, folder / "best")
        # A run that resumes from step 9 takes it as the best, so "best" must link to its weights.
        assert read_card(folder / "best")["progress"]["step"] >= progress.best_step
        assert progress.step == 4 or read_card(folder / "best")["progress"]["step"] == 9
        again.save(model, optimizer, TrainingProgress(step=10), best=True)
        assert sorted(path.name for path in folder.iterdir()) == ["best", "last", "step-00000010"]
        return not survived

    calls = 1
    while dies_at(calls):
        calls += 1
    assert calls > 8


def test_only_the_last_and_the_best_checkpoint_are_kept(tmp_path: Path) -> None:
    checkpoints, model, optimizer = fresh(tmp_path / "checkpoints")
    for step in range(1, 6):
        checkpoints.save(model, optimizer, TrainingProgress(step=step), best=step in (1, 3))
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == [
        "best",
        "last",
        "step-00000003",
        "step-00000005",
    ]
    assert (checkpoints.best.resolve().name, checkpoints.last.resolve().name) == ("step-00000003", "step-00000005")


def test_half_a_weights_file_is_refused_naming_it(saved: Path) -> None:
    path = saved / "last" / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UniferumError, match=r"model\.safetensors must be readable"):
        load_weights(TinyModel(), saved / "last")


def test_half_an_optimizer_file_is_refused_naming_it(saved: Path) -> None:
    path = saved / "last" / "optimizer.pt"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    checkpoints, model, optimizer = fresh(saved)
    with pytest.raises(UniferumError, match=r"optimizer\.pt must be readable"):
        checkpoints.load_last(model, optimizer)


def test_weights_of_another_shape_are_refused_naming_both_sides(saved: Path) -> None:
    model = TinyModel()
    model.class_head = nn.Linear(7, 1)
    with pytest.raises(UniferumError, match=r"class_head\.weight \(1 x 6\) must have the model's shape \(1 x 7\)"):
        load_weights(model, saved / "last")


def test_a_tensor_that_the_model_does_not_have_is_named(saved: Path) -> None:
    model = TinyModel()
    del model.mask_head
    with pytest.raises(UniferumError, match=r"mask_head\.bias \(8\) must have the model's shape \(absent\)"):
        load_weights(model, saved / "last")


def test_a_refused_checkpoint_leaves_the_model_as_it_was(saved: Path) -> None:
    model = TinyModel()
    model.class_head = nn.Linear(7, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UniferumError):
        load_weights(model, saved / "last")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_folder_without_a_checkpoint_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(UniferumError, match="must be a checkpoint folder"):
        read_card(tmp_path)


@pytest.mark.parametrize("content", [b"garbage", b"", b"\x80\x02}q\x00."])
def test_an_optimizer_file_of_something_else_is_one_line(saved: Path, content: bytes) -> None:
    (saved / "last" / "optimizer.pt").write_bytes(content)
    checkpoints, model, optimizer = fresh(saved)
    with pytest.raises(UniferumError, match=r"optimizer\.pt must be readable"):
        checkpoints.load_last(model, optimizer)


def test_going_on_in_another_number_format_is_refused_naming_both(saved: Path) -> None:
    checkpoints, model, optimizer = fresh(saved)
    checkpoints.identity = replace(checkpoints.identity, precision="bf16")
    with pytest.raises(OtherHardware, match="has the precision fp32, and this machine has bf16"):
        checkpoints.load_last(model, optimizer)


@pytest.mark.parametrize("last", [True, False])
def test_an_optimizer_goes_on_where_its_weights_lie_in_another_memory_order(tmp_path: Path, last: bool) -> None:
    """The fused AdamW reads weights and moments in memory order, so different orders would be mixed up silently."""
    torch.manual_seed(0)
    x, start = torch.rand(2, 4, 5, 5, 5), nn.Conv3d(4, 8, 3)
    checkpoints = Checkpoints(tmp_path, Identity("tiny", "f" * 16, {}, ()))

    def steps(orders: list[bool]) -> torch.Tensor:
        """One step in each memory order, through a checkpoint."""
        held = start.state_dict()
        for index, order in enumerate(orders):
            conv = nn.Conv3d(4, 8, 3).to(memory_format=torch.channels_last_3d if order else torch.contiguous_format)
            conv.load_state_dict(held)
            optimizer = build_optimizer(conv, OptimConfig(lr=0.1))
            if index:
                checkpoints.load_last(conv, optimizer)
            (conv(x) ** 2).mean().backward()
            optimizer.step()
            checkpoints.save(conv, optimizer, TrainingProgress(step=index + 1))
            held = conv.state_dict()
        return held["weight"]

    torch.testing.assert_close(steps([last, not last]), steps([False, False]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_card_is_refused(saved: Path, text: str) -> None:
    (saved / "last" / "checkpoint.json").write_text(text)
    with pytest.raises(UniferumError, match=r"checkpoint\.json must (be|have)"):
        read_card(saved / "last")


def test_progress_survives_json_to_the_last_bit() -> None:
    progress = TrainingProgress(7, (0.1 + 0.2, float("nan")), 3, 1 / 3, 12.5)
    back = TrainingProgress.from_json(json.loads(json.dumps(progress.as_json(), allow_nan=False)))
    assert back.history[0] == progress.history[0]
    assert back.history[1] != back.history[1]
    assert (back.step, back.best_step, back.best_value, back.seconds) == (7, 3, 1 / 3, 12.5)


def test_seeds_depend_on_every_part_and_are_the_same_on_every_machine() -> None:
    # printf "0/step/1/2" | sha256sum: the first 16 digits, halved.
    assert random_seed(0, "step", 1, 2) == 7967718167125983440
    assert len({random_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}) == 125
