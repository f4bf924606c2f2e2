"""The bidirectional transformer of BERT and Megatron-BERT.

BERT: layer norm after each residual sum and after the embedding. Megatron-BERT (``pre_norm``): layer norm before
attention and before the feed-forward part, none after the embedding, one after the last layer. Tests compare both with
the transformers library. No class here derives from a transformers model: those reinitialise weights when composed.

Shapes: R rows, L positions, H hidden, A heads.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from uniferum.model.speed.linear import Product, product


@dataclass(frozen=True)
class TransformerShape:
    """The values of a BERT config that define tensor shapes and arithmetic."""

    hidden: int
    heads: int
    intermediate: int
    words: int
    positions: int = 512
    types: int = 2
    norm_eps: float = 1e-12
    dropout: float = 0.0
    attention_dropout: float = 0.0
    pre_norm: bool = False
    activation: str = "gelu"


ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu}


class Embeddings(nn.Module):
    """Sum of word, position and type embeddings, normalised in BERT but not in Megatron-BERT."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.word = nn.Embedding(shape.words, shape.hidden)
        self.position = nn.Embedding(shape.positions, shape.hidden)
        self.token_type = nn.Embedding(shape.types, shape.hidden)
        self.norm = nn.Identity() if shape.pre_norm else nn.LayerNorm(shape.hidden, eps=shape.norm_eps)

    def forward(self, x: Float[Tensor, "*batch L H"], first: int) -> Float[Tensor, "*batch L H"]:
        """Add type 0 and the positions from ``first`` on, then normalise."""
        positions = self.position.weight[first : first + x.shape[-2]]
        return self.norm(x + positions + self.token_type.weight[0])


class Layer(nn.Module):
    """One transformer layer; queries, keys and values are one matrix product."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        hidden = shape.hidden
        self.heads, self.pre_norm = shape.heads, shape.pre_norm
        self.dropout, self.attention_dropout = shape.dropout, shape.attention_dropout
        self.activation = ACTIVATIONS[shape.activation]
        self.qkv = Product(hidden, 3 * hidden)
        self.out = Product(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, eps=shape.norm_eps)
        self.up = Product(hidden, shape.intermediate)
        self.down = Product(shape.intermediate, hidden)
        self.norm = nn.LayerNorm(hidden, eps=shape.norm_eps)

    def project(self, x: Float[Tensor, "*batch L H"]) -> Float[Tensor, "*batch L 3*H"]:
        """Compute queries, keys and values of each position, which depend on no other position."""
        return self.qkv(self.attention_norm(x) if self.pre_norm else x)

    def forward(
        self,
        x: Float[Tensor, "R L H"],
        visible: Bool[Tensor, "R L"] | None,
        at: slice | None = None,
        projected: Float[Tensor, "R L 3*H"] | None = None,
    ) -> Float[Tensor, "R Q H"]:
        """Apply attention and the feed-forward part.

        Args:
            x: the sequence.
            visible: false where a position is padding, which is masked; None: no padding.
            at: the positions to return; None: all. Attention still covers the whole sequence.
            projected: the result of :meth:`project` for ``x``, if already computed.
        """
        if projected is not None or at is None:
            query, key, value = (self.project(x) if projected is None else projected).chunk(3, dim=-1)
            query = query if at is None else query[:, at]
        else:
            query, key, value = self._narrow(x, at)
        mask = None if visible is None else visible[:, None, None, :]
        dropout = self.attention_dropout if self.training else 0.0
        context = F.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), attn_mask=mask, dropout_p=dropout
        )
        context = self.out(context.transpose(1, 2).flatten(2))
        return self._feed_forward((x if at is None else x[:, at]) + self._drop(context))

    def _narrow(self, x: Tensor, at: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Compute queries of the positions ``at`` only, keys and values of all."""
        hidden = x.shape[-1]
        x = self.attention_norm(x) if self.pre_norm else x
        weight, bias = self.qkv.weight, self.qkv.bias
        query = product(x[:, at], weight[:hidden], bias[:hidden])
        key, value = product(x, weight[hidden:], bias[hidden:]).chunk(2, dim=-1)
        return query, key, value

    def _feed_forward(self, x: Tensor) -> Tensor:
        if self.pre_norm:
            return x + self._drop(self.down(self._widened(self.norm(x))))
        x = self.attention_norm(x)
        return self.norm(x + self._drop(self.down(self._widened(x))))

    def _widened(self, x: Tensor) -> Tensor:
        if self.activation is F.gelu:
            return product(x, self.up.weight, self.up.bias, "gelu")
        return self.activation(self.up(x))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Transformer(nn.Module):
    """Embeddings, the first layers, and the final norm of Megatron-BERT."""

    def __init__(self, shape: TransformerShape, layers: int) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(layers))
        self.norm = nn.LayerNorm(shape.hidden, eps=shape.norm_eps) if shape.pre_norm else nn.Identity()

    def encode_text(self, ids: Tensor, visible: Bool[Tensor, "R L"] | None = None) -> Float[Tensor, "R L H"]:
        """Encode text without a volume, like the forward pass of the transformers library."""
        x = self.embeddings(self.embeddings.word(ids), 0)
        for layer in self.layers:
            x = layer(x, visible)
        return self.norm(x)


def draw(transformer: Transformer, spread: float | None = None) -> None:
    """Initialise weights at random: normal matrices, zero biases; norms stay at one.

    Args:
        transformer: changed in place.
        spread: standard deviation of all matrices; None: 1 / sqrt(inputs) for the layers, which keeps the size of
            signals, and 1 for the embedding tables, which are normalised afterwards.
    """
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=spread or module.in_features**-0.5)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=spread or 1.0)
