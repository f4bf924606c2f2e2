"""Convert prompts to token ids: each distinct prompt is tokenised once, and rows refer to it by index.

Pretrained encoders have their own tokenizer. ``tiny`` knows the words of the vocabulary's prompts; an unknown word is
split into letters, so that prompts of a new cohort can be tokenised too.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from uniferum.errors import UniferumError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
CXR_BERT_TYPE = "cxr-bert"
"""Model type of CXR-BERT on the hub: a BERT whose own classes are code of its repository, which is not run."""
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Prompts:
    """Token ids of U distinct prompts of at most T tokens, and the index of each row's prompt."""

    ids: Int[Tensor, "U T"]
    visible: Bool[Tensor, "U T"]
    of_row: Int[Tensor, " R"]


class PromptReader:
    """A tokenizer that caches the ids of every prompt."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self.truncates = False
        """Cut a longer text after ``max_tokens``, with its last token kept, instead of refusing it: for reports."""
        self.known: dict[str, tuple[int, ...]] = {}
        pad = tokenizer.token_to_id("[PAD]")
        self.pad = 0 if pad is None else pad

    @property
    def size(self) -> int:
        """Number of embedding rows that the tokenizer needs: its highest id plus one."""
        return 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)

    def read(self, prompts: Sequence[str], device: torch.device | str = "cpu") -> Prompts:
        """Return the token ids of the rows' prompts, padded on the right to the longest.

        Raises:
            UniferumError: a prompt is empty or longer than ``text.max_tokens`` (unless :attr:`truncates`).
        """
        distinct = list(dict.fromkeys(prompts))
        ids = [self._ids(prompt) for prompt in distinct]
        longest = max(len(tokens) for tokens in ids)
        table = torch.full((len(ids), longest), self.pad, dtype=torch.int64)
        visible = torch.zeros((len(ids), longest), dtype=torch.bool)
        for row, tokens in enumerate(ids):
            table[row, : len(tokens)] = torch.tensor(tokens)
            visible[row, : len(tokens)] = True
        index_of = {prompt: index for index, prompt in enumerate(distinct)}
        of_row = torch.tensor([index_of[prompt] for prompt in prompts], dtype=torch.int64)
        return Prompts(table.to(device), visible.to(device), of_row.to(device))

    def _ids(self, prompt: str) -> tuple[int, ...]:
        ids = self.known.get(prompt)
        if ids is None:
            if not prompt.strip():
                raise UniferumError("prompt", repr(prompt), must="have at least one word")
            ids = tuple(self.tokenizer.encode(prompt).ids)
            if len(ids) > self.max_tokens and self.truncates:
                ids = (*ids[: self.max_tokens - 1], ids[-1])
            if len(ids) > self.max_tokens:
                raise UniferumError(
                    f"prompt '{prompt}'",
                    f"{len(ids)} tokens",
                    must=f"have at most text.max_tokens ({self.max_tokens})",
                )
            self.known[prompt] = ids
        return ids


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Build a WordPiece tokenizer of the lower-case words in ``texts``; other words are split into letters."""
    words = sorted({word for text in texts for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower())})
    letters = [letter for letter in LETTERS if letter not in words]
    tokens = [*SPECIAL, *words, *letters, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    return tokenizer


def hub_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer from the folder of a pretrained model.

    Raises:
        UniferumError: the folder has no readable tokenizer.
    """
    from transformers import AutoTokenizer, BertTokenizer

    try:
        if _model_type(folder) == CXR_BERT_TYPE:  # as CT-CLIP reads it
            loaded = BertTokenizer.from_pretrained(str(folder), local_files_only=True, do_lower_case=True)
        else:
            loaded = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, use_fast=True)
    except Exception as error:  # noqa: BLE001  tokenizers raises nothing narrower on a damaged file
        reason = " ".join(str(error).split())[:120]
        raise UniferumError(
            str(folder), must="hold a tokenizer", cure=f"tokenizer.json or vocab.txt is expected ({reason})"
        ) from None
    return loaded.backend_tokenizer


def _model_type(folder: Path) -> str:
    """The model type in a folder's config; empty where there is none that can be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""
