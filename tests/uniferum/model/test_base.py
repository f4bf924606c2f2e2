"""``forward`` and ``predict`` of every system: the same numbers as ``encode`` and ``read``."""

import pytest
import torch

from tests.support.small_models import LABELS, PROMPTS, small_model, volumes
from uniferum.data.loading.targets import TargetGrid
from uniferum.model.base import labels_of
from uniferum.systems import SYSTEMS

QUESTIONS = list(PROMPTS)
IDS = ["emphysema", "pleural_effusion", ""]
ROWS = torch.tensor([0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("kind", SYSTEMS)
def test_forward_is_encode_and_read_of_every_prompt_about_every_volume(kind: str) -> None:
    model = small_model(kind=kind).eval()
    with torch.no_grad():
        rows = model.read(model.encode(volumes()), ROWS, QUESTIONS * 2, IDS * 2, torch.zeros(0, dtype=torch.int64))
        logit = model(volumes(), QUESTIONS)
        named = model(volumes(), ["?", "?"], LABELS[:2])
    torch.testing.assert_close(logit, rows.class_logit.view(2, 3), atol=0, rtol=0, equal_nan=True)
    if not SYSTEMS[kind].text:
        torch.testing.assert_close(named, logit[:, :2], atol=0, rtol=0)
        assert logit[:, 2].isnan().all()


@pytest.mark.parametrize("kind", SYSTEMS)
def test_predict_gives_probabilities_and_leaves_every_mode_as_it_was(kind: str) -> None:
    model = small_model(kind=kind)
    frozen = list(model.modules())[-1].eval()
    prediction = model.predict(volumes(), QUESTIONS)
    assert (model.training, frozen.training, prediction.mask) == (True, False, None)
    with torch.no_grad():
        expected = model.eval()(volumes(), QUESTIONS).sigmoid()
    torch.testing.assert_close(prediction.probability, expected, atol=0, rtol=0, equal_nan=True)
    assert not prediction.probability.requires_grad


@pytest.mark.parametrize("kind", SYSTEMS)
def test_masks_lie_on_the_mask_grid_where_the_system_predicts_them(kind: str) -> None:
    model = small_model(kind=kind).eval()
    mask = model.predict(volumes(), QUESTIONS, masks=True).mask
    assert (mask is not None) == SYSTEMS[kind].masks
    if mask is None:
        return
    with torch.no_grad():
        rows = model.read(model.encode(volumes()), ROWS, QUESTIONS * 2, IDS * 2).mask_logit
    assert rows is not None
    grid = TargetGrid.of((24, 16, 8), model.tokens_shape, model.patch)
    expected = torch.from_numpy(grid.from_patches(rows[4].sigmoid().numpy()))
    torch.testing.assert_close(mask[1, 1], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_a_hook_hears_the_logits_and_the_model_can_be_exported(kind: str) -> None:
    model, heard = small_model(kind=kind).eval(), []
    handle = model.register_forward_hook(lambda module, given, logit: heard.append(logit))
    with torch.no_grad():
        logit = model(volumes(), QUESTIONS)
        handle.remove()
        exported = torch.export.export(model, (volumes(), QUESTIONS), strict=False).module()
        torch.testing.assert_close(exported(volumes(), QUESTIONS), logit, equal_nan=True)
    assert heard[0] is logit


def test_a_prompt_of_the_vocabulary_has_its_label() -> None:
    assert labels_of([PROMPTS[1], "Is there anything?"]) == ["pleural_effusion", ""]
