"""A second, plain implementation of paper 3.2 has the same losses as this project's on the same batches.

It follows the paper's equations with PyTorch's layers and timm-3d's network: one row at a time, without padding,
without sharing between the rows of a volume, with explicit losses and schedule. An error in what the model shares,
reorders or leaves out would change the weights, and so the losses.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from tests.support.small_runs import make_config, write_store
from uniferum.data.loading.batch import Batch
from uniferum.model.uniferum import Uniferum
from uniferum.run.build import open_workbench
from uniferum.training.config import OptimConfig
from uniferum.training.optim import build_optimizer, learning_rate
from uniferum.training.parallel import Workers
from uniferum.training.precision import choose_compute
from uniferum.training.step import Stepper

STEPS, BATCH, RATE, WARMUP = 4, 16, 1e-3, 2


class Plain(nn.Module):
    """Z = concat([v_cls, E_v, v_sep, E_t]) + E_pos; E = TransformerLayers(Z); a logit of E's first vector, u^3 of r."""

    def __init__(self, ours: Uniferum) -> None:
        super().__init__()
        import timm_3d

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: Any = timm_3d.create_model(ours.config.encoder.name, pretrained=False, in_chans=1)
        self.network = nn.Sequential(network.conv_stem, network.bn1, *list(network.blocks)[: len(ours.encoder.blocks)])
        self.network.load_state_dict(
            dict(zip(self.network.state_dict(), ours.encoder.state_dict().values(), strict=True))
        )
        shape = ours.transformer.shape
        self.word = nn.Embedding(shape.words, shape.hidden)
        self.position = nn.Embedding(shape.positions, shape.hidden)
        self.kind = nn.Embedding(shape.types, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.norm_eps)
        self.project = nn.Linear(ours.encoder.channels, shape.hidden)
        self.v_cls, self.v_sep = (nn.Parameter(v.detach().clone().flatten()) for v in (ours.start, ours.separator))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                shape.hidden,
                shape.heads,
                shape.intermediate,
                dropout=0.0,
                activation="gelu",
                layer_norm_eps=shape.norm_eps,
                batch_first=True,
            )
            for _ in ours.transformer.layers
        )
        self.class_head = nn.Linear(shape.hidden, 1)
        self.mask_head = nn.Linear(shape.hidden, ours.patch**3)
        self.reader = ours.reader
        self._copy(ours)

    @torch.no_grad()
    def _copy(self, ours: Uniferum) -> None:
        tables = ours.transformer.embeddings
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (self.word, tables.word),
            (self.position, tables.position),
            (self.kind, tables.token_type),
            (self.norm, tables.norm),
            (self.project, ours.project),
            (self.class_head, ours.class_head),
            (self.mask_head, ours.mask_head),
        ]
        for mine, theirs in pairs:
            mine.load_state_dict(theirs.state_dict())
        for mine, theirs in zip(self.layers, ours.transformer.layers, strict=True):
            held = theirs.state_dict()
            names = {
                "self_attn.in_proj_": "qkv.",
                "self_attn.out_proj.": "out.",
                "linear1.": "up.",
                "linear2.": "down.",
                "norm1.": "attention_norm.",
                "norm2.": "norm.",
            }
            mine.load_state_dict({m + kind: held[t + kind] for m, t in names.items() for kind in ("weight", "bias")})

    def forward(self, visual: Tensor, prompt: str) -> tuple[Tensor, Tensor]:
        """Compute class logit and mask logits of one row; ``visual``: the features of its volume, (C, x, y, z)."""
        seen = self.project(visual.flatten(1).T)
        words = self.word(torch.tensor(self.reader.tokenizer.encode(prompt).ids))
        z = torch.cat([self.v_cls[None], seen, self.v_sep[None], words])
        e = self.norm(z + self.position.weight[: len(z)] + self.kind.weight[0])[None]
        for layer in self.layers:
            e = layer(e)
        return self.class_head(e[0, 0])[0], self.mask_head(e[0, 1 : 1 + len(seen)])


def _plain_loss(model: Plain, batches: Sequence[Batch]) -> Tensor:
    """Average over all rows of a step: cross-entropy of a label, or ten times the mean focal loss of a mask."""
    losses: list[Tensor] = []
    for batch in batches:
        features = model.network(batch.volume)
        masks = dict(zip(batch.seg_rows.tolist(), batch.seg_target, strict=True))
        for row, prompt in enumerate(batch.prompts):
            logit, patches = model(features[batch.row_volume[row]], prompt)
            if row in masks:
                right = torch.where(masks[row] == 1, torch.sigmoid(patches), torch.sigmoid(-patches))
                weight = torch.where(masks[row] == 1, 0.25, 0.75)
                losses.append(10 * (-weight * (1 - right) ** 2 * right.log()).mean())
            else:
                sign = 2 * batch.label_target[row] - 1
                losses.append(-torch.sigmoid(sign * logit).log())
    return torch.stack(losses).mean()


def _plain_rate(step: int) -> float:
    return RATE * (step + 1) / WARMUP if step < WARMUP else RATE * (STEPS - step) / (STEPS - WARMUP)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[float], list[float]]:
    """Train this project's and the plain implementation over the same steps from equal initial weights."""
    root = tmp_path_factory.mktemp("plain")
    stores = {
        "CTRATE": write_store(
            root / "c", "CTRATE", ("pleural_effusion", "cardiomegaly"), {"train": 12, "validation": 2}
        ),
        "LUNA16": write_store(root / "l", "LUNA16", (), {"train": 2}),
    }
    config = make_config(
        train_on=["CTRATE", "SEG"],
        evaluate_on=[],
        sampling={"luna_factor": 2},
        training={"steps": STEPS, "batch": BATCH, "micro_batch": 8},
        optim={"lr": RATE, "warmup_steps": WARMUP},
    )
    bench = open_workbench(config, stores, choose_compute("fp32", "cpu"))
    ours = cast(Uniferum, bench.model(("cardiomegaly", "pleural_effusion")))
    batches = bench.training_batches(bench.training_table(), ours)
    plain = Plain(ours)
    optimizer = build_optimizer(ours, config.optim)
    stepper = Stepper(ours, optimizer, config.optim, bench.compute, Workers(), 0, BATCH, BATCH // 8)
    groups = [
        {"params": [p for p in plain.parameters() if (p.ndim > 1) == matrices], "weight_decay": decay}
        for matrices, decay in ((True, 1e-4), (False, 0.0))
    ]
    adam = torch.optim.AdamW(groups, lr=RATE)
    of_ours, of_plain = [], []
    for step in range(STEPS):
        rows = batches.step(step)
        report = stepper.gradient(step, enumerate(rows))
        stepper.update(report, learning_rate(config.optim, step, STEPS))
        of_ours.append(report.loss)
        adam.zero_grad()
        loss = _plain_loss(plain.train(), rows)
        loss.backward()
        for group in adam.param_groups:
            group["lr"] = _plain_rate(step)
        adam.step()
        of_plain.append(float(loss.detach()))
    return of_ours, of_plain


def test_a_plain_implementation_on_the_same_batches_has_the_same_losses(both: tuple[list[float], list[float]]) -> None:
    ours, plain = both
    assert ours[0] == pytest.approx(plain[0], abs=2e-6)
    assert ours == pytest.approx(plain, abs=2e-4)


def test_the_weights_moved_so_that_equal_losses_say_something(both: tuple[list[float], list[float]]) -> None:
    ours, _ = both
    assert all(math.isfinite(loss) for loss in ours)
    assert max(ours) - min(ours) > 0.02


def test_the_plain_losses_are_those_of_the_config() -> None:
    optim = OptimConfig()
    assert (optim.focal_alpha, optim.focal_gamma, optim.segmentation_weight, optim.weight_decay) == (0.25, 2, 10, 1e-4)
