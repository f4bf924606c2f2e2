"""Codes of a quantiser are updated once a step, with the tokens of all micro-batches and workers."""

import torch
from torch import Tensor, nn

from uniferum.model.baselines.ct_clip.quantizer import Quantizer
from uniferum.training.codebooks import CodebookUpdates
from uniferum.training.parallel import Workers


class TwoWorkers(Workers):
    """A worker that is one of two, and adds what the other one has."""

    def __init__(self, others: list[Tensor]) -> None:
        object.__setattr__(self, "others", others)

    def sum(self, values: Tensor) -> Tensor:
        return values.add_(self.others.pop(0))  # pyright: ignore[reportAttributeAccessIssue]


def _quantizer() -> Quantizer:
    torch.manual_seed(0)
    return Quantizer(8, 16, 0.8).train()


def _tokens(count: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(1))


def _updated(parts: list[Tensor], workers: Workers | None = None) -> Quantizer:
    quantizer = _quantizer()
    updates = CodebookUpdates(nn.ModuleList([quantizer]))
    for part in parts:
        quantizer(part)
        updates.measure()
    updates.settle(workers or Workers())
    return quantizer


def test_micro_batches_update_as_one_batch() -> None:
    tokens = _tokens(40)
    whole, split = _updated([tokens]), _updated(list(tokens.split(8)))
    torch.testing.assert_close(split.codes, whole.codes)
    torch.testing.assert_close(split.usage, whole.usage)
    assert not torch.equal(whole.codes, _quantizer().codes)


def test_two_workers_update_as_one_and_a_worker_without_tokens_follows() -> None:
    tokens = _tokens(40)
    whole = _updated([tokens])
    other = _quantizer()
    other(tokens[24:])
    assert other.chosen is not None
    here = _updated([tokens[:24]], TwoWorkers([*other.chosen]))
    torch.testing.assert_close(here.codes, whole.codes)
    other(tokens)
    idle = _updated([], TwoWorkers([*other.chosen]))
    torch.testing.assert_close(idle.codes, whole.codes)


def test_a_forward_pass_alone_and_a_frozen_quantiser_change_nothing() -> None:
    quantizer = _quantizer()
    before = quantizer.codes.clone()
    quantizer(_tokens(10))
    assert torch.equal(quantizer.codes, before)
    quantizer.moves = False
    assert CodebookUpdates(nn.ModuleList([quantizer])).quantizers == []
