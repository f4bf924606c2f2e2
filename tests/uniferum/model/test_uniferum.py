"""The paper's model: the sequence, what rows share, patch order, gradients, presets."""

import json
from pathlib import Path
from typing import Any, cast

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, MegatronBertConfig, MegatronBertModel

from tests.support.pooling import max_pool
from tests.support.small_models import GEOMETRY, LABELS, PROMPTS, SHAPE, small_config, small_model, volumes
from uniferum.data.loading.targets import TargetGrid
from uniferum.errors import UniferumError
from uniferum.model.config import ModelConfig, TextConfig, tokens_shape
from uniferum.model.encoder import Encoder, build_encoder
from uniferum.model.registry import build_model
from uniferum.model.speed.compile import compile_parts
from uniferum.model.text import build_text
from uniferum.model.uniferum import Uniferum

ROWS = torch.tensor([1, 0, 1, 0])
TEXTS = [PROMPTS[0], PROMPTS[1], PROMPTS[2], PROMPTS[0]]
NAMES = ["emphysema", "pleural_effusion", "heart", "emphysema"]


def _hub_model(folder: Path, kind: str) -> Any:
    """Write a small random BERT or Megatron-BERT in the hub's format, with the words of the prompts."""
    torch.manual_seed(1)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "."]
    words += sorted({word.strip(".").lower() for prompt in PROMPTS for word in prompt.split()})
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    config, model = (BertConfig, BertModel) if kind == "bert" else (MegatronBertConfig, MegatronBertModel)
    settings: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 96,
        "initializer_range": 0.5,
    }
    built = model(config(**settings)).eval()  # pyright: ignore
    built.save_pretrained(folder)
    return built


@pytest.mark.parametrize("kind", ["bert", "megatron-bert"])
@pytest.mark.parametrize(("preset", "times"), [("paper", 1), ("released", 2)])
def test_the_sequence_and_its_positions_are_those_of_the_paper_and_of_the_released_code(
    tmp_path: Path, kind: str, preset: str, times: int
) -> None:
    reference = _hub_model(tmp_path, kind)
    model = cast(Uniferum, small_model(preset=preset, text={"name": str(tmp_path)}).eval())
    with torch.no_grad():
        visual = model.encode(volumes())
        answer = model.read(visual, ROWS, TEXTS, NAMES)
        for row, (volume, prompt) in enumerate(zip(ROWS.tolist(), TEXTS, strict=True)):
            ids = model.reader.read([prompt]).ids
            words = reference.embeddings.word_embeddings(ids)
            if times == 2:
                words = reference.embeddings(inputs_embeds=words)
            sequence = torch.cat([model.start, visual[volume][None], model.separator, words], dim=1)
            hidden = reference(inputs_embeds=sequence).last_hidden_state[0]
            torch.testing.assert_close(answer.class_logit[row], model.class_head(hidden[0])[0], atol=1e-4, rtol=1e-4)
            assert answer.mask_logit is not None
            torch.testing.assert_close(answer.mask_logit[row], model.mask_head(hidden[1:7]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("summary", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_row_reads_the_same_alone_and_in_company(summary: bool, layers: int) -> None:
    model = small_model(text={"layers": layers}, fusion={"summary": summary, "visual_positions": True}).eval()
    with torch.no_grad():
        together = model.read(model.encode(volumes()), ROWS, TEXTS, NAMES)
        for row, (volume, prompt) in enumerate(zip(ROWS.tolist(), TEXTS, strict=True)):
            visual = model.encode(volumes()[volume : volume + 1])
            alone = model.read(visual, torch.tensor([0]), [prompt], [NAMES[row]])
            torch.testing.assert_close(together.class_logit[row], alone.class_logit[0])
            assert together.mask_logit is not None
            assert alone.mask_logit is not None
            torch.testing.assert_close(together.mask_logit[row], alone.mask_logit[0])


def test_only_the_wanted_masks_are_computed_in_their_order() -> None:
    model = small_model().eval()
    with torch.no_grad():
        visual = model.encode(volumes())
        every = model.read(visual, ROWS, TEXTS, NAMES).mask_logit
        some = model.read(visual, ROWS, TEXTS, NAMES, torch.tensor([3, 1])).mask_logit
        none = model.read(visual, ROWS, TEXTS, NAMES, torch.zeros(0, dtype=torch.int64)).mask_logit
    assert every is not None
    assert some is not None
    assert none is not None
    assert every.shape == (4, 6, 8)
    torch.testing.assert_close(some, every[[3, 1]])
    assert none.shape == (0, 6, 8)


class _Averages(Encoder):
    """Encoder whose feature is the mean intensity of each token's cube."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.channels = 1

    def forward(self, volume: Tensor) -> Tensor:
        return nn.functional.avg_pool3d(volume, 8)


@pytest.mark.parametrize("voxel", [(0, 0, 0), (23, 0, 0), (0, 15, 0), (9, 9, 3), (16, 7, 7), (23, 15, 7)])
def test_a_voxel_moved_by_hand_lights_the_token_whose_target_patch_holds_it(voxel: tuple[int, int, int]) -> None:
    config = small_config()
    model = Uniferum(config, SHAPE, _Averages(), build_text(config.text))
    nn.init.ones_(model.project.weight)
    nn.init.zeros_(model.project.bias)
    volume = torch.zeros(1, 1, *SHAPE)
    volume[0, 0, voxel[0], voxel[1], voxel[2]] = 1
    lit = model.encode(volume)[0].abs().sum(-1).argmax().item()
    by_hand = (voxel[0] // 8 * 2 + voxel[1] // 8) * 1 + voxel[2] // 8
    assert lit == by_hand
    grid = TargetGrid.of(SHAPE, model.tokens_shape, model.patch)
    target = grid.to_patches(max_pool(grid, volume[0, 0].numpy().astype(np.uint8)))
    assert np.flatnonzero(target.any(axis=1)).tolist() == [lit]
    inside = [side % 8 // 4 for side in voxel]
    assert np.flatnonzero(target[lit]).tolist() == [inside[0] * 4 + inside[1] * 2 + inside[2]]


def test_a_segmentation_row_gives_the_class_head_no_gradient_and_the_other_way_round() -> None:
    model = cast(Uniferum, small_model())
    output = model.read(model.encode(volumes()), ROWS, TEXTS, NAMES, torch.tensor([2]))
    assert output.mask_logit is not None
    heads = [model.class_head.weight, model.mask_head.weight]
    masks = torch.autograd.grad(output.mask_logit.square().sum(), heads, retain_graph=True, allow_unused=True)
    classes = torch.autograd.grad(output.class_logit.square().sum(), heads, allow_unused=True)
    assert masks[0] is None
    assert masks[1] is not None
    assert masks[1].abs().sum() > 0
    assert classes[0] is not None
    assert classes[0].abs().sum() > 0
    assert classes[1] is None


def test_gradient_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for on in (False, True):
        model = small_model(gradient_checkpointing=on)
        output = model.read(model.encode(volumes()), ROWS, TEXTS, NAMES)
        assert output.mask_logit is not None
        (output.class_logit.sum() + output.mask_logit.square().mean()).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-3)


def test_channels_last_changes_no_answer() -> None:
    answers = [
        model.read(model.encode(volumes()), ROWS, TEXTS, NAMES).class_logit
        for model in (small_model().eval(), small_model(encoder={"channels_last": True}).eval())
    ]
    torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_with_channels_last_every_convolution_reads_and_writes_that_order(training: bool) -> None:
    last = torch.channels_last_3d
    orders: dict[bool, list[bool]] = {}
    for on in (False, True):
        model = cast(Uniferum, small_model(encoder={"channels_last": on})).train(training)
        checks = orders.setdefault(on, [])

        def look(conv: nn.Conv3d, given: tuple[torch.Tensor], made: torch.Tensor, checks: list[bool] = checks) -> None:
            tensors = (conv.weight, *given, made)
            checks.append(all(tensor.is_contiguous(memory_format=last) for tensor in tensors))

        for conv in (part for part in model.encoder.modules() if isinstance(part, nn.Conv3d)):
            conv.register_forward_hook(look)
        model.encode(volumes())
    assert all(orders[True])
    assert len(orders[True]) == 15
    assert not any(orders[False])


def test_weights_loaded_into_a_channels_last_model_stay_in_that_order() -> None:
    model = cast(Uniferum, small_model(encoder={"channels_last": True}))
    model.load_state_dict(small_model(seed=1).state_dict())
    kernels = [p for p in model.encoder.parameters() if p.ndim == 5]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last_3d) for kernel in kernels)
    assert torch.equal(
        kernels[1], [p for p in cast(Uniferum, small_model(seed=1)).encoder.parameters() if p.ndim == 5][1]
    )


def test_compile_wraps_encoder_and_layers_and_keeps_tensor_names(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compiled.append(type(self).__name__))
    names = small_model(compile=True).state_dict().keys()
    assert compiled == ["Encoder", "Layer", "Layer"]
    assert names == small_model().state_dict().keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler looks at tensors in ways that warn
def test_compiled_parts_give_the_same_answers_and_gradients_for_micro_batches_of_any_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the compiler would trace the checks as well
    plain, compiled = cast(Uniferum, small_model()), cast(Uniferum, small_model())
    # The front end of the compiler: tracing and guards, without code generation.
    compile_parts((compiled.encoder, *compiled.transformer.layers), backend="aot_eager")
    torch._dynamo.utils.counters.clear()
    for rows in ([0, 1, 0], [0, 0, 0, 0, 1], [1, 0], [0, 1, 1, 0]):
        prompts = [PROMPTS[row % 3] for row in range(len(rows))]
        for mode in (True, False):
            results = []
            for model in (plain, compiled):
                model.train(mode).zero_grad()
                with torch.set_grad_enabled(mode):
                    wanted = torch.tensor([0, len(rows) - 1])
                    out = model.read(model.encode(volumes()), torch.tensor(rows), prompts, ["x"] * len(rows), wanted)
                assert out.mask_logit is not None
                if mode:
                    (out.class_logit.square().sum() + out.mask_logit.square().sum()).backward()
                gradients = [p.grad for p in model.parameters() if p.grad is not None]
                results.append((out.class_logit.detach(), out.mask_logit.detach(), gradients))
            torch.testing.assert_close(results[0], results[1], atol=1e-4, rtol=1e-4)
    given_up = {reason for reason in torch._dynamo.utils.counters["unimplemented"] if "limit" in reason}
    assert not given_up
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 4, "nothing was compiled"


@pytest.mark.parametrize(
    ("kind", "key"), [("ct_net", "compile"), ("ct_clip", "gradient_checkpointing"), ("cnn_transformer", "compile")]
)
def test_a_key_that_a_system_does_not_have_is_refused_and_not_passed_over(kind: str, key: str) -> None:
    with pytest.raises(UniferumError, match=rf"model.{key} \(True\) must be false for {kind}"):
        small_model(kind=kind, **{key: True})


def test_a_seed_decides_the_weights_and_nothing_else_is_drawn_from_the_callers_state() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = small_model(3), small_model(3), small_model(4)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(first.state_dict()["start"], other.state_dict()["start"])


def test_pretrained_weights_survive_the_composition(tmp_path: Path) -> None:
    _hub_model(tmp_path, "bert")
    config = small_config(encoder={"weights": "offline"}, text={"name": str(tmp_path)})
    state = build_model(config, GEOMETRY, LABELS, 0).state_dict()
    for name, tensor in build_encoder(config.encoder).state_dict().items():
        assert torch.equal(state[f"encoder.{name}"], tensor), name
    for name, tensor in build_text(config.text).transformer.state_dict().items():
        assert torch.equal(state[f"transformer.{name}"], tensor), name


@pytest.mark.parametrize(
    ("changes", "frozen"),
    [
        ({"preset": "paper"}, False),
        ({"preset": "released"}, True),
        ({"preset": "released", "text": {"freeze": False}}, False),
        ({"preset": "paper", "text": {"freeze": True}}, True),
    ],
)
def test_presets_freeze_the_text_layers_unless_the_key_says_otherwise(changes: dict[str, Any], frozen: bool) -> None:
    model = cast(Uniferum, small_model(**changes))
    assert {p.requires_grad for p in model.transformer.parameters()} == {not frozen}
    others = [p for name, p in model.named_parameters() if not name.startswith("transformer.")]
    assert all(p.requires_grad for p in others)


def test_the_word_table_alone_can_be_frozen() -> None:
    model = cast(Uniferum, small_model(text={"freeze_words": True}))
    still = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert still == ["transformer.embeddings.word.weight"]


def test_a_sequence_longer_than_the_text_encoders_positions_is_refused(tmp_path: Path) -> None:
    _hub_model(tmp_path, "bert")
    with pytest.raises(UniferumError, match=r"\(108 positions\) must fit into the 96"):
        small_model(text={"name": str(tmp_path), "max_tokens": 100})


def test_sides_that_are_no_multiples_of_the_stride_are_refused() -> None:
    with pytest.raises(UniferumError, match=r"24 x 20 x 8.*multiples of model.encoder.stride \(8\)"):
        tokens_shape(small_config(), (24, 20, 8))


def test_the_papers_geometry_gives_160_tokens() -> None:
    assert tokens_shape(ModelConfig(), (256, 160, 128)) == (8, 5, 4)


def test_batch_norm_of_tokens_refuses_a_single_volume() -> None:
    model = small_model(fusion={"visual_norm": "batch"})
    with pytest.raises(UniferumError, match="at least 2 volumes per micro-batch"):
        model.encode(volumes(1))
    assert model.eval().encode(volumes(1)).shape == (1, 6, 16)


def test_an_unknown_system_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UniferumError, match="did you mean 'uniferum'"):
        small_model(kind="unifrum")


def test_dropout_of_a_pretrained_encoder_is_its_own_unless_given(tmp_path: Path) -> None:
    _hub_model(tmp_path, "bert")
    assert build_text(TextConfig(name=str(tmp_path), layers=1)).transformer.shape.dropout == 0.1
    assert build_text(TextConfig(name=str(tmp_path), layers=1, dropout=0.0)).transformer.shape.dropout == 0.0


def test_without_pretrained_weights_only_config_and_tokenizer_are_needed(tmp_path: Path) -> None:
    _hub_model(tmp_path, "bert")
    config = small_config(encoder={"weights": "imagenet"}, text={"name": str(tmp_path)})
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UniferumError, match=r"must hold model\.safetensors"):
        build_model(config, GEOMETRY, LABELS, 0)
    names = build_model(config, GEOMETRY, LABELS, 0, pretrained=False).state_dict().keys()
    assert names == small_model().state_dict().keys()


def test_the_mask_heads_first_answer_is_the_prior_and_draws_nothing() -> None:
    plain, primed = small_model(), small_model(mask_prior=0.1)
    for (name, before), after in zip(plain.state_dict().items(), primed.state_dict().values(), strict=True):
        assert torch.equal(before, after) != (name == "mask_head.bias")
    visual = primed.encode(volumes())
    logits = primed.read(visual, torch.tensor([0]), PROMPTS[2:], ["heart"]).mask_logit
    assert logits is not None
    assert torch.sigmoid(logits).mean().item() == pytest.approx(0.1, abs=0.01)
