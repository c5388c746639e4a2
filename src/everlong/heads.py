"""What is asked for: the next token, over a plain or a frequency-sorted vocabulary, a hidden one, a class, a span."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from everlong.errors import ConfigError
from everlong.nn.pieces import losses_in_pieces
from everlong.shapes import IGNORE, Hidden, Logits, Losses, Tokens


class TokenHead(nn.Module, ABC):
    """Hidden states in; logits, or losses for given targets, out."""

    @abstractmethod
    def logits(self, hidden: Hidden) -> Logits:
        """Unnormalised log-probabilities of every token of the vocabulary."""

    @abstractmethod
    def losses(self, hidden: Hidden, targets: Tokens) -> Losses:
        """Negative log-likelihood of the targets in nats, in token order; 0 where a target is `IGNORE`."""


class LinearHead(TokenHead):
    """One logit per token: ``hidden · E^T + bias``, with the embedding table `E` given (tied) or of its own."""

    def __init__(self, embedding: nn.Embedding, *, tied: bool) -> None:
        super().__init__()
        weight = embedding.weight
        self.weight = weight if tied else nn.Parameter(torch.randn_like(weight) * weight.shape[1] ** -0.5)
        self.bias = nn.Parameter(torch.zeros(weight.shape[0]))

    def logits(self, hidden: Hidden) -> Logits:
        """Unnormalised log-probabilities of every token of the vocabulary."""
        return F.linear(hidden, self.weight, self.bias)

    def losses(self, hidden: Hidden, targets: Tokens) -> Losses:
        """Negative log-likelihood of the targets in nats, in token order; 0 where a target is `IGNORE`."""
        if hidden.device.type == "cpu" and bool((asked := targets != IGNORE).logical_not().any()):
            # Padding has no loss, and a processor need not wait for another device to count it.
            nats = losses_in_pieces(hidden[asked], (self.weight, self.bias), targets[asked])
            return nats.new_zeros(targets.shape).masked_scatter(asked, nats)
        return losses_in_pieces(hidden.flatten(0, 1), (self.weight, self.bias), targets.flatten()).view_as(targets)


class VectorHead(TokenHead):
    """A vector instead of logits: ``W hidden + b``. What it should have been is the caller's business."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, size)

    def logits(self, hidden: Hidden) -> Logits:
        """The vectors ``[b t output_size]``."""
        return self.map(hidden)

    def losses(self, hidden: Hidden, targets: Tokens) -> Losses:  # noqa: ARG002 - the question itself is refused
        """None: a vector is no distribution over tokens.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"this model answers vectors of {self.map.out_features} numbers, which have no loss in tokens. "
            "Compare what model(...) returns with your targets, or set output_size=0."
        )


class MaskedTokenHead(TokenHead):
    """Which token is hidden here: ``LN(gelu(W h + b)) · E^T + c`` with the embedding's table `E` (Devlin et al., 2019).

    The table's last row is the mask symbol, which is no answer. Losses are computed where something is asked for, and
    nowhere else is there a transformed state or a logit. `norm_eps` is added to the variance that LN divides by.
    """

    def __init__(self, embedding: nn.Embedding, *, norm_eps: float = 1e-5) -> None:
        super().__init__()
        size, width = embedding.weight.shape
        self.transform = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.weight = embedding.weight
        self.bias = nn.Parameter(torch.zeros(size - 1))

    def logits(self, hidden: Float[Tensor, "*n d"]) -> Float[Tensor, "*n v"]:
        """Unnormalised log-probabilities of every token of the vocabulary."""
        return F.linear(self._transformed(hidden), self.weight[:-1], self.bias)

    def losses(self, hidden: Hidden, targets: Tokens) -> Losses:
        """Negative log-likelihood of the targets in nats, in token order; 0 where a target is `IGNORE`."""
        asked = targets != IGNORE
        nats = losses_in_pieces(self._transformed(hidden[asked]), (self.weight[:-1], self.bias), targets[asked])
        return nats.new_zeros(targets.shape).masked_scatter(asked, nats)

    def _transformed(self, hidden: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        return self.norm(F.gelu(self.transform(hidden)))


class ClassHead(nn.Module):
    """Which class a text, or a token of it, is of: ``W v + b`` of its vector (Yang et al., 2016, eq. 11)."""

    def __init__(self, *, width: int, n_labels: int, dropout: float) -> None:
        super().__init__()
        self.map = nn.Linear(width, n_labels)
        self.dropout = dropout

    def forward(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n c"]:
        """Unnormalised log-probabilities of the classes, in float32 at least."""
        return _exact(self.map(F.dropout(vectors, self.dropout, self.training)))


class SpanHead(nn.Module):
    """Where an answer begins and where it ends: ``W h + b`` of each token, two numbers (Devlin et al., 2019)."""

    def __init__(self, *, width: int, dropout: float) -> None:
        super().__init__()
        self.map = nn.Linear(width, 2)
        self.dropout = dropout

    def forward(self, hidden: Hidden) -> Float[Tensor, "b t 2"]:
        """Unnormalised log-probabilities of the first and of the last token, in float32 at least."""
        return _exact(self.map(F.dropout(hidden, self.dropout, self.training)))


class AdaptiveEmbedding(nn.Module):
    """Token vectors whose width falls with rarity: cluster `i` has ``d_embed // div_val**i`` (Baevski & Auli, 2019).

    Tokens are sorted by frequency; `cutoffs` are the ends of all clusters but the last. With ``div_val=1`` there is one
    table. A projection to `d_model` exists only where the widths differ, as in Transformer-XL's code.
    """

    def __init__(self, *, vocab_size: int, d_embed: int, d_model: int, cutoffs: Sequence[int], div_val: int) -> None:
        super().__init__()
        self.edges = (0, *cutoffs, vocab_size)
        self.scale = d_model**0.5
        self.div_val = div_val
        clusters = 1 if div_val == 1 else len(self.edges) - 1
        self.sizes = [vocab_size] if div_val == 1 else [b - a for a, b in pairwise(self.edges)]
        self.widths = [d_embed // div_val**i for i in range(clusters)]
        self.tables = nn.ModuleList(
            nn.Embedding(size, width) for size, width in zip(self.sizes, self.widths, strict=True)
        )
        self.projections = nn.ParameterList(
            nn.Parameter(torch.empty(d_model, width)) for width in self.widths if div_val > 1 or width != d_model
        )

    def forward(self, tokens: Tokens) -> Hidden:
        """Vectors ``[b t d]``, scaled by ``sqrt(d_model)``."""
        if self.div_val == 1:
            vectors = self.tables[0](tokens)
            return (F.linear(vectors, self.projections[0]) if len(self.projections) else vectors) * self.scale
        out = self.projections[0].new_zeros(*tokens.shape, self.projections[0].shape[0])
        for table, projection, low, high in zip(
            self.tables, self.projections, self.edges, self.edges[1:], strict=False
        ):
            inside = (tokens >= low) & (tokens < high)
            vectors = F.linear(table(tokens[inside] - low), projection)
            out = out.masked_scatter(inside[..., None], vectors.to(out.dtype))
        return out * self.scale


class AdaptiveHead(TokenHead):
    """Softmax in two steps: a shortlist with one logit per rare cluster, then the token within its cluster.

    ``log p(w) = log p_head(cluster of w) + log p_tail(w | cluster)`` (Grave et al., 2017). Tables are those of the
    embedding; the first projection is free and the others are tied, as in Transformer-XL's WikiText-103 setting.
    Losses come back in token order, and logits are exact log-probabilities.
    """

    def __init__(self, embedding: AdaptiveEmbedding) -> None:
        super().__init__()
        self.edges = embedding.edges
        self.tables = embedding.tables
        self.one_table = embedding.div_val == 1
        self.n_tails = len(self.edges) - 2
        sizes, widths = embedding.sizes, embedding.widths
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes)
        self.cluster_weight = nn.Parameter(torch.zeros(self.n_tails, widths[0]))
        self.cluster_bias = nn.Parameter(torch.zeros(self.n_tails))
        shared = list(embedding.projections)
        own = [nn.Parameter(torch.empty_like(shared[0]))] if shared else []
        self.projections = nn.ParameterList([*own, *shared[1:]])

    def logits(self, hidden: Hidden) -> Logits:
        """Log-probabilities of every token of the vocabulary."""
        head = self._cluster(hidden, 0).log_softmax(dim=-1)
        shortlist = self.edges[1]
        parts = [head[..., :shortlist]]
        for tail in range(1, self.n_tails + 1):
            parts.append(head[..., shortlist + tail - 1, None] + self._cluster(hidden, tail).log_softmax(dim=-1))
        return torch.cat(parts, dim=-1)

    def losses(self, hidden: Hidden, targets: Tokens) -> Losses:
        """Negative log-likelihood of the targets in nats, in token order; 0 where a target is `IGNORE`."""
        flat, wanted = hidden.flatten(0, 1), targets.flatten()
        head = _exact(self._cluster(flat, 0)).log_softmax(dim=-1)
        shortlist = self.edges[1]
        first = wanted.clamp(min=0)
        for tail in range(1, self.n_tails + 1):
            first = torch.where(wanted >= self.edges[tail], shortlist + tail - 1, first)
        total = -head.gather(1, first[:, None])[:, 0]
        for tail in range(1, self.n_tails + 1):
            rows = ((wanted >= self.edges[tail]) & (wanted < self.edges[tail + 1])).nonzero()[:, 0]
            if rows.numel() == 0:
                continue
            within = _exact(self._cluster(flat[rows], tail)).log_softmax(dim=-1)
            inner = -within.gather(1, (wanted[rows] - self.edges[tail])[:, None])[:, 0]
            total = total.index_add(0, rows, inner)
        return torch.where(wanted == IGNORE, 0.0, total).view_as(targets)

    def _cluster(self, hidden: Float[Tensor, "... d"], index: int) -> Float[Tensor, "... n"]:
        low, high = self.edges[index], self.edges[index + 1]
        weight, bias = self._rows(index, low=low, high=high)
        if len(self.projections):
            hidden = hidden @ self.projections[0 if self.one_table else index]
        if index == 0:
            weight, bias = torch.cat([weight, self.cluster_weight]), torch.cat([bias, self.cluster_bias])
        return F.linear(hidden, weight, bias)

    def _rows(self, index: int, *, low: int, high: int) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n"]]:
        if self.one_table:
            return self.tables[0].weight[low:high], self.biases[0][low:high]  # pyright: ignore[reportReturnType, reportIndexIssue]
        return self.tables[index].weight, self.biases[index]  # pyright: ignore[reportReturnType]


def _exact(logits: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
    """Logits as float32 at least: a sum of many exponentials is wrong in half precision."""
    return logits.float() if logits.dtype.itemsize < 4 else logits
