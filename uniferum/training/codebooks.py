"""Update the codes of vector quantisers once a step, from the tokens of all micro-batches on any number of workers.

A forward pass only counts which tokens chose which code. The moving average is updated after the optimizer, with the
sums over the whole step, so that 1 worker and 8 move the codes alike.
"""

import torch
from torch import Tensor, nn

from uniferum.model.baselines.ct_clip.quantizer import Quantizer
from uniferum.training.parallel import Workers


class CodebookUpdates:
    """The quantisers of a model whose codes move in training."""

    def __init__(self, model: nn.Module) -> None:
        self.quantizers = [module for module in model.modules() if isinstance(module, Quantizer) and module.moves]
        self.sums: list[tuple[Tensor, Tensor]] = []

    def measure(self) -> None:
        """Add the tokens of the last forward pass."""
        for index, quantizer in enumerate(self.quantizers):
            if quantizer.chosen is None:
                continue
            counts, totals = quantizer.chosen
            if index == len(self.sums):
                self.sums.append((torch.zeros_like(counts), torch.zeros_like(totals)))
            self.sums[index][0].add_(counts)
            self.sums[index][1].add_(totals)
            quantizer.chosen = None

    def settle(self, workers: Workers) -> None:
        """Move the codes with the tokens of the step, and forget them."""
        for index, quantizer in enumerate(self.quantizers):
            if index < len(self.sums):
                counts, totals = self.sums[index]
            else:  # this worker had no micro-batch
                counts, totals = torch.zeros_like(quantizer.usage[0]), torch.zeros_like(quantizer.codes[0])
            quantizer.update(workers.sum(counts), workers.sum(totals))
        self.sums = []
