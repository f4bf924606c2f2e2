"""The systems of other papers: they learn, rows select their label, and volumes are independent."""

import pytest
import torch
from torch.nn import functional as F

from tests.support.small_models import LABELS, PROMPTS, small_model, volumes

RATES = {"ct_net": 1e-2, "cnn_transformer": 1e-4, "ct_clip": 1e-3}
ROWS = torch.tensor([0, 1, 0, 1])
NAMES = ["emphysema", "emphysema", "pleural_effusion", "pleural_effusion"]
TEXTS = [PROMPTS[0], PROMPTS[0], PROMPTS[1], PROMPTS[1]]


@pytest.mark.parametrize(("kind", "rate"), RATES.items())
def test_a_system_can_learn_two_labels_of_two_volumes(kind: str, rate: float) -> None:
    dropout = {"ct_net": {"dropout": 0.0}} if kind == "ct_net" else {}
    model = small_model(kind=kind, **dropout)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
    target, losses = torch.tensor([1.0, 0.0, 0.0, 1.0]), []
    dark_and_bright = volumes() * torch.tensor([0.3, 1.0]).view(2, 1, 1, 1, 1)
    for _ in range(8):
        logit = model.read(model.encode(dark_and_bright), ROWS, TEXTS, NAMES).class_logit
        loss = F.binary_cross_entropy_with_logits(logit, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.75 * losses[0]


@pytest.mark.parametrize("kind", RATES)
def test_a_volume_is_read_the_same_alone_and_in_company(kind: str) -> None:
    model = small_model(kind=kind).eval()
    with torch.no_grad():
        together = model.encode(volumes(3))
        torch.testing.assert_close(together[1:2], model.encode(volumes(3)[1:2]), atol=1e-4, rtol=1e-3)
        answer = model.read(together, torch.tensor([2]), [PROMPTS[0]], [LABELS[0]])
    assert answer.class_logit.shape == (1,)
    assert answer.mask_logit is None
