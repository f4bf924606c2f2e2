"""The four ways to use CT-CLIP: what is trained, and what an answer is."""

from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from tests.support.small_models import LABELS, PROMPTS, SMALL_CT_CLIP, small_config, small_model, volumes
from uniferum.config import parse
from uniferum.errors import UniferumError
from uniferum.model.base import ReportModel
from uniferum.model.baselines.ct_clip.clip import CtClip
from uniferum.model.baselines.ct_clip.contrastive import Contrastive
from uniferum.model.baselines.ct_clip.quantizer import Quantizer
from uniferum.model.ct_clip_config import CtClipConfig

ROWS = torch.tensor([0, 1, 1])


def _model(way: str, **own: Any) -> CtClip:
    return cast(CtClip, small_model(kind="ct_clip", ct_clip=SMALL_CT_CLIP | {"way": way} | own))


def _trained(model: CtClip) -> set[str]:
    return {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_each_way_trains_its_own_parts() -> None:
    whole = {"transformer", "visual", "image_latent", "text_latent", "temperature"}
    assert _trained(_model("vocabfine")) == _trained(_model("contrastive")) == whole
    assert _trained(_model("zero_shot")) == set()
    assert _trained(_model("classfine")) == {"head"}
    assert _trained(_model("classfine", freeze_encoder=False)) == {"visual", "image_latent", "head"}


@pytest.mark.parametrize("way", ["vocabfine", "zero_shot", "contrastive"])
def test_the_probability_is_the_first_of_the_softmax_over_the_pair_of_prompts(way: str) -> None:
    model = _model(way).eval()
    with torch.no_grad():
        visual = model.encode(volumes())
        answer = model.read(visual, ROWS, list(PROMPTS), list(LABELS)).class_logit.sigmoid()
        for row, name in enumerate(("Emphysema", "Pleural effusion", "Atelectasis")):
            texts = model.embed([f"{name} is present.", f"{name} is not present."])
            pair = model.similarity(visual[ROWS[row]][None], texts)[0].softmax(0)
            assert answer[row].item() == pytest.approx(pair[0].item(), abs=1e-6)


def test_a_label_without_a_name_is_asked_by_its_prompt() -> None:
    model = _model("zero_shot").eval()
    with torch.no_grad():
        visual = model.encode(volumes(1))
        own = model.read(visual, torch.tensor([0]), ["Atelectasis"], ["unknown"]).class_logit
        assert torch.equal(own, model.read(visual, torch.tensor([0]), ["other words"], ["atelectasis"]).class_logit)


def test_classfine_is_a_linear_layer_on_the_rectified_latent() -> None:
    model = _model("classfine").eval()
    state = model.state_dict()
    with torch.no_grad():
        visual = model.encode(volumes())
        answer = model.read(visual, ROWS, list(PROMPTS), list(LABELS)).class_logit
        for row, column in enumerate(range(3)):
            logit = state["head.weight"][column] @ visual[ROWS[row]].clamp_min(0) + state["head.bias"][column]
            assert answer[row].item() == pytest.approx(logit.item(), abs=1e-6)
    assert not model.train().encode(volumes()).requires_grad


def test_only_the_contrastive_way_learns_from_reports() -> None:
    assert isinstance(_model("contrastive"), ReportModel)
    assert not any(isinstance(_model(way), ReportModel) for way in ("vocabfine", "zero_shot", "classfine"))


def test_reports_are_matched_with_their_volumes() -> None:
    model = cast(Contrastive, _model("contrastive").train())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    reports = ["pleural effusion", "no finding in the lungs", "emphysema and atelectasis"]
    losses = []
    for _ in range(12):
        loss = model.report_loss(model.encode(volumes(3)), torch.arange(3), reports)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) < 0.75 * losses[0]


def test_a_long_report_is_cut_and_keeps_its_last_token() -> None:
    model = _model("contrastive")
    read = model.reader.read(["effusion " * 200])
    assert read.ids.shape == (1, model.reader.max_tokens)
    assert read.ids[0, -1] == model.reader.tokenizer.token_to_id("[SEP]")
    with pytest.raises(UniferumError, match=r"must have at most text\.max_tokens"):
        _model("zero_shot").reader.read(["effusion " * 200])


def test_known_texts_are_read_once_until_the_weights_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = _model("zero_shot").eval(), []
    monkeypatch.setattr(model, "text_latents", lambda *_, f=model.text_latents: calls.append(1) or f(*_))
    with torch.inference_mode():
        once = model.embed(["emphysema", "effusion"])
        again = model.embed(["effusion", "emphysema"])
        assert torch.equal(again, once.flip(0))
    assert len(calls) == 1
    with torch.inference_mode():
        model.eval().embed(["emphysema"])
    assert len(calls) == 2


def test_the_gradient_passes_the_quantiser_unchanged() -> None:
    quantizer = Quantizer(8, 16, 0.8).train()
    x = torch.randn(5, 8, requires_grad=True)
    weight = torch.randn(5, 8)
    (quantizer(x) * weight).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, weight)


def test_codes_move_towards_their_tokens_and_stay_of_length_one() -> None:
    quantizer = Quantizer(8, 4, 0.5)
    before = quantizer.codes.clone()
    token = F.normalize(before[0, 2] + 0.3, dim=0)
    count, total = torch.tensor([0.0, 0.0, 3.0, 0.0]), torch.zeros(4, 8)
    total[2] = 3 * token
    quantizer.update(count, total)
    torch.testing.assert_close(quantizer.codes[0, 2], F.normalize(0.5 * before[0, 2] + 0.5 * token, dim=0))
    torch.testing.assert_close(quantizer.codes[0, [0, 1, 3]], before[0, [0, 1, 3]])
    assert quantizer.usage.tolist() == [[0.0, 0.0, 1.5, 0.0]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"present": "yes"}, "have {label} once in present, not 'yes'"),
        ({"present": "{label}.", "absent": "{label}."}, "have different texts for present and absent"),
        ({"checkpoint_sha256": "0" * 64}, "have a checkpoint for its checkpoint_sha256"),
        ({"input": {"hu": [200, -1000]}}, "have hu as a lower and a higher limit"),
        ({"way": "vocab_fine"}, "'vocabfine', 'classfine', 'zero_shot' or 'contrastive'"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UniferumError, match=message.replace("{", r"\{")):
        parse(CtClipConfig, wrong, source="ct_clip")


def test_patches_that_do_not_fill_the_input_are_refused() -> None:
    vit = SMALL_CT_CLIP["vit"] | {"patch_slices": 3}
    with pytest.raises(UniferumError, match=r"geometry.model_shape \(24 x 16 x 8\) must have x and y as multiples"):
        small_model(kind="ct_clip", ct_clip=SMALL_CT_CLIP | {"vit": vit})


def test_other_systems_do_not_see_the_section() -> None:
    assert small_config().ct_clip == CtClipConfig()
