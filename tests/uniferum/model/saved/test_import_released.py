"""Checkpoints of the paper's released code, compared with a forward pass composed from timm-3d and transformers."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import BertConfig, BertModel, MegatronBertConfig, MegatronBertModel
from typer import Typer
from typer.testing import CliRunner

from cli import checkpoints
from uniferum.errors import UniferumError
from uniferum.model.saved.hub import from_pretrained
from uniferum.model.saved.import_released import import_released
from uniferum.preprocessing.geometry import Geometry

PROMPT = "diagnose pleural effusion"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "diagnose", "pleural", "effusion"]
GEOMETRY = Geometry(spacing_mm=(8, 8, 8), box_mm=(512, 256, 256), crop_mm=(512, 256, 256), model_shape=(64, 32, 32))


class Released:
    """The parts of the released model, small, with the tensor names that its Trainer run saves."""

    def __init__(self, folder: Path, kind: str = "bert") -> None:
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import timm_3d
        self.text_folder = folder / "text"
        self.text_folder.mkdir()
        (self.text_folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
        (self.text_folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
        configs = {"bert": (BertConfig, BertModel), "megatron": (MegatronBertConfig, MegatronBertModel)}
        make_config, make_model = configs[kind]
        config = make_config(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=256,
            initializer_range=0.5,
        )
        config.save_pretrained(self.text_folder)
        self.bert, spare = make_model(config).eval(), make_model(config)
        self.vision = timm_3d.create_model("tf_efficientnet_b0", in_chans=1, num_classes=0).eval()
        self.start, self.end = torch.randn(1, 1, 16), torch.randn(1, 1, 16)
        self.adaptor = torch.nn.Linear(1280, 16)
        self.class_head, self.mask_head = torch.nn.Linear(16, 1), torch.nn.Linear(16, 64)
        groups: dict[str, Any] = {
            "": spare.state_dict(),
            "model.": self.bert.state_dict(),
            "vision_model.": {"emb_start": self.start, "emb_end": self.end},
            "vision_model.model.": self.vision.state_dict(),
            "vision_model.lm_adaptor.0.": self.adaptor.state_dict(),
            "lm_head_cls.": self.class_head.state_dict(),
            "lm_head_seg.": self.mask_head.state_dict(),
        }
        self.state = {prefix + name: t.clone() for prefix, group in groups.items() for name, t in group.items()}
        self.path = folder / "model.safetensors"
        self.save()

    def save(self) -> None:
        save_file(self.state, self.path)

    @torch.no_grad()
    def forward(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.adaptor(self.vision.forward_features(volume).flatten(2).transpose(1, 2))
        ids = torch.tensor([[2, 5, 6, 7, 3]])
        words = self.bert.embeddings(ids)
        hidden = self.bert(inputs_embeds=torch.cat([self.start, visual, self.end, words], dim=1)).last_hidden_state
        return self.class_head(hidden[:, 0])[:, 0], self.mask_head(hidden[:, 1 : 1 + visual.shape[1]])


@pytest.fixture
def released(tmp_path: Path) -> Released:
    return Released(tmp_path)


@pytest.mark.parametrize("kind", ["bert", "megatron"])
def test_an_imported_checkpoint_answers_as_the_released_model_does(tmp_path: Path, kind: str) -> None:
    released = Released(tmp_path, kind)
    imported = import_released(released.path, text=str(released.text_folder), geometry=GEOMETRY)
    volume = torch.rand(1, 1, *GEOMETRY.model_shape)
    with torch.no_grad():
        answer = imported.model.read(imported.model.encode(volume), torch.tensor([0]), [PROMPT], ["x"])
    class_logit, mask_logit = released.forward(volume)
    torch.testing.assert_close(answer.class_logit, class_logit, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(answer.mask_logit, mask_logit, atol=1e-4, rtol=1e-4)
    assert imported.config.preset == "released"
    assert imported.config.text.layers == 2
    assert imported.config.patch == 4


def test_what_is_left_out_is_counted_with_its_reason(released: Released) -> None:
    imported = import_released(released.path, text=str(released.text_folder), geometry=GEOMETRY)
    assert imported.left_out == {
        "a second BERT that the forward pass never uses": 5 + 2 * 16 + 2,
        "a pooler that no loss reads": 2,
    }


def test_a_tensor_without_a_place_is_named(released: Released) -> None:
    released.state["lm_head_reg.weight"] = torch.zeros(1, 16)
    released.save()
    with pytest.raises(UniferumError, match=r"lm_head_reg.weight must have a place"):
        import_released(released.path, text=str(released.text_folder), geometry=GEOMETRY)


def test_a_text_encoder_of_another_width_is_named_on_both_sides(released: Released) -> None:
    path = released.text_folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 32}))
    with pytest.raises(UniferumError, match=r"word_embeddings.weight \(\(8, 16\)\) must have the shape \(8, 32\)"):
        import_released(released.path, text=str(released.text_folder), geometry=GEOMETRY)


def test_the_command_writes_a_model_folder_and_says_what_it_left_out(released: Released, tmp_path: Path) -> None:
    app = Typer()
    checkpoints.register(app)

    @app.command()
    def other() -> None:  # two commands, so that names are read
        """Nothing."""

    out = tmp_path / "imported"
    arguments = ["import-checkpoint", str(released.path), "--out", str(out), "--text", str(released.text_folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "left out 39 tensors: a second BERT" in result.stderr
    assert result.stdout.strip() == str(out)
    model = from_pretrained(out)
    assert model.tokens_shape == (8, 5, 4)
    assert torch.equal(model.state_dict()["class_head.weight"], released.state["lm_head_cls.weight"])
