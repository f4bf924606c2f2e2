"""Prompts to token ids."""

import pytest
import torch
from tokenizers import Tokenizer, models

from uniferum.data.vocabulary import Vocabulary
from uniferum.errors import UniferumError
from uniferum.model.config import TextConfig
from uniferum.model.text import build_text
from uniferum.model.tokenizer import PromptReader, word_tokenizer

TEXTS = ["Segment the heart in the image.", "Diagnose the presence of CABG"]


def _reader(max_tokens: int = 64) -> PromptReader:
    return PromptReader(word_tokenizer(TEXTS), max_tokens)


def test_each_distinct_prompt_is_read_once_and_rows_point_at_it() -> None:
    reader = _reader()
    read = reader.read([TEXTS[0], TEXTS[1], TEXTS[0]])
    assert read.of_row.tolist() == [0, 1, 0]
    assert read.ids.shape[0] == 2
    assert set(reader.known) == set(TEXTS)


def test_known_words_are_one_token_each_and_padding_is_invisible() -> None:
    read = _reader().read(TEXTS)
    assert read.visible.sum(1).tolist() == [2 + 7, 2 + 5]
    assert torch.equal(read.ids == 0, ~read.visible)


def test_an_unknown_word_is_spelt_and_differs_from_others() -> None:
    reader = _reader()
    one, other = reader.read(["the zoster"]).ids, reader.read(["the zostex"]).ids
    assert reader.tokenizer.token_to_id("[UNK]") not in one
    assert one.tolist() != other.tolist()


def test_a_prompt_longer_than_allowed_is_an_error_never_cut() -> None:
    with pytest.raises(UniferumError, match=r"9 tokens.*at most text.max_tokens \(8\)"):
        _reader(max_tokens=8).read(TEXTS)


def test_an_empty_prompt_is_an_error() -> None:
    with pytest.raises(UniferumError, match="at least one word"):
        _reader().read(["  "])


def test_the_tiny_encoder_knows_every_word_of_every_prompt() -> None:
    words = Vocabulary.load()
    reader = build_text(TextConfig(name="tiny", layers=1, hidden=16, heads=2)).reader
    for entry in [*words.labels.values(), *words.structures.values()]:
        tokens = reader.tokenizer.encode(entry.prompt).tokens
        assert not any(token.startswith("##") or token == "[UNK]" for token in tokens), entry.prompt


def test_a_vocabulary_with_gaps_needs_rows_up_to_its_highest_id() -> None:
    tokens = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "heart": 90}
    assert PromptReader(Tokenizer(models.WordPiece(tokens, unk_token="[UNK]")), 8).size == 91
