"""The controls: a constant, a linear probe of frozen features, and a model trained on exchanged labels."""

import pytest
import torch
from torch.nn import functional as F

from tests.support.small_models import PROMPTS, small_model, volumes
from uniferum.model.base import Model
from uniferum.model.baselines.probe import Probe
from uniferum.systems import SYSTEMS

ROWS = torch.tensor([0, 1, 0, 1])
NAMES = ["emphysema", "emphysema", "pleural_effusion", "pleural_effusion"]
TEXTS = [PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1]]


def _train(kind: str, target: torch.Tensor, steps: int, rate: float) -> Model:
    model = small_model(kind=kind)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate)
    for _ in range(steps):
        loss = F.binary_cross_entropy_with_logits(
            model.read(model.encode(volumes()), ROWS, TEXTS, NAMES).class_logit, target
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_the_prevalence_control_answers_the_share_of_positives_for_every_volume() -> None:
    model = _train("prevalence", torch.tensor([1.0, 0.0, 1.0, 1.0]), 300, 0.1)
    probability = model.predict(volumes(3, seed=7), TEXTS[:1] * 2, labels=NAMES[1:3]).probability
    torch.testing.assert_close(probability[:, 0], torch.full((3,), 0.5), atol=1e-2, rtol=0)
    assert (probability[:, 1] > 0.98).all()
    assert (probability == probability[:1]).all()


def test_a_probe_trains_its_linear_layer_alone() -> None:
    before = small_model(kind="probe")
    after = _train("probe", torch.tensor([1.0, 0.0, 0.0, 1.0]), 5, 1e-2)
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert changed == {"head.weight", "head.bias"}, "the encoder's statistics stay, too"


def test_a_probe_s_encoder_stays_in_evaluation_mode() -> None:
    model = small_model(kind="probe").train()
    assert isinstance(model, Probe)
    assert model.training
    assert not model.encoder.training
    assert torch.equal(model.encode(volumes()), model.eval().encode(volumes()))


def test_the_shuffled_control_is_uniferum_in_all_but_its_labels() -> None:
    control, own = SYSTEMS["shuffled"], SYSTEMS["uniferum"]
    assert (control.builder, control.masks, control.text) == (own.builder, own.masks, own.text)
    weights = small_model(kind="shuffled").state_dict(), small_model(kind="uniferum").state_dict()
    assert all(torch.equal(one, other) for one, other in zip(*(w.values() for w in weights), strict=True))


@pytest.mark.parametrize("name", ["probe", "prevalence", "shuffled"])
def test_a_control_has_no_row_in_the_paper(name: str) -> None:
    assert not SYSTEMS[name].trained_by_paper
