"""The vector quantiser of CT-ViT: each token is replaced by the code that is nearest by cosine similarity.

In training the gradient passes through unchanged (straight-through), and codes follow the tokens that chose them by a
moving average (van den Oord et al. 2017, appendix A.1). The average is updated once a step, by
:class:`uniferum.training.codebooks.CodebookUpdates`: a forward pass changes no weight.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class Quantizer(nn.Module):
    """A codebook of K unit vectors.

    Attributes:
        decay: weight of the old codes in the moving average.
        moves: whether training updates the codes; false where the encoder is frozen.
        chosen: number of tokens per code and sum of their unit vectors, of the last forward pass in training mode.
    """

    codes: Tensor
    usage: Tensor

    def __init__(self, width: int, count: int, decay: float) -> None:
        super().__init__()
        self.decay, self.moves = decay, True
        drawn = torch.empty(1, count, width)
        nn.init.kaiming_uniform_(drawn)
        self.register_buffer("codes", F.normalize(drawn, dim=-1))
        self.register_buffer("usage", torch.zeros(1, count))
        self.chosen: tuple[Float[Tensor, " K"], Float[Tensor, "K D"]] | None = None

    def forward(self, x: Float[Tensor, "*tokens D"]) -> Float[Tensor, "*tokens D"]:
        """Replace each token by its nearest code."""
        unit = F.normalize(x.detach(), dim=-1)
        index = self.nearest(unit)
        codes = self.codes[0].to(x.dtype)[index]
        if not self.training:
            return codes
        if self.moves:
            self.chosen = self._counted(unit.flatten(0, -2), index.flatten())
        return x + (codes - x).detach()

    def nearest(self, unit: Float[Tensor, "*tokens D"]) -> Int[Tensor, "*tokens"]:
        """Index of the code with the highest cosine similarity to each unit vector."""
        return (unit @ self.codes[0].to(unit.dtype).T).argmax(dim=-1)

    def _counted(self, unit: Float[Tensor, "N D"], index: Int[Tensor, " N"]) -> tuple[Tensor, Tensor]:
        count = unit.new_zeros(self.codes.shape[1], dtype=torch.float32)
        total = unit.new_zeros(self.codes.shape[1:], dtype=torch.float32)
        count.index_add_(0, index, torch.ones_like(index, dtype=torch.float32))
        total.index_add_(0, index, unit.float())
        return count, total

    @torch.no_grad()
    def update(self, count: Float[Tensor, " K"], total: Float[Tensor, "K D"]) -> None:
        """Move the codes towards the tokens that chose them; a code that no token chose stays.

        Args:
            count: number of tokens per code.
            total: sum of their unit vectors.
        """
        keep = self.decay
        self.usage[0] = keep * self.usage[0] + (1 - keep) * count
        mean = F.normalize(total / count.clamp_min(1.0)[:, None], dim=-1)
        target = torch.where(count[:, None] > 0, mean, self.codes[0])
        self.codes[0] = F.normalize(keep * self.codes[0] + (1 - keep) * target, dim=-1)
