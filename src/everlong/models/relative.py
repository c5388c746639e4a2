"""What Transformer-XL and its heirs share: embedding, the weights of a layer, and what surrounds its attention.

    q, k, v = h Wq, h Wk, h Wv              (post-norm: h as it is; pre-norm: LN(h))
    a       = LN( h + attention Wo )        h' = LN( a + FF(a) )               post-norm
    a       = h + attention Wo              h' = a + FF(LN(a))                 pre-norm

What a layer attends to is the heir's business.
"""

from abc import abstractmethod
from typing import Any, Literal, NamedTuple, Self, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.config import require_divides
from everlong.errors import MemoryMismatch
from everlong.heads import AdaptiveEmbedding, AdaptiveHead, LinearHead
from everlong.memory import Memory
from everlong.models.base import LanguageModel, ModelConfig
from everlong.nn.blocks import FeedForward
from everlong.nn.position import Sinusoids
from everlong.nn.relative import attend_relative, attend_relative_few
from everlong.nn.window import QUERY_BLOCK, Sight
from everlong.shapes import Hidden, Tokens

M = TypeVar("M", bound=Memory)

Biases = tuple[Float[Tensor, "h e"], Float[Tensor, "h e"]]
"""The biases u, added to queries that meet keys, and w, added to queries that meet distances."""


class RelativeConfig(ModelConfig):
    """Sizes of a Transformer with segments and relative attention."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    segment: int = Field(default=256, ge=1)
    """Tokens of the document's grid: a token sees its own segment so far."""
    mem_len: int = Field(default=256, ge=0)
    """Tokens seen before the segment began."""
    clamp_len: int = Field(default=0, ge=0)
    """Distances above this one are encoded like it; 0 encodes every distance as it is."""
    norm: Literal["post", "pre"] = "post"
    tied_biases: bool = True
    """Whether all layers share the biases u and w."""
    attention_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    cutoffs: tuple[int, ...] = ()
    """Ends of the frequency clusters of an adaptive vocabulary; empty for a plain one."""
    div_val: int = Field(default=1, ge=1)
    """Each rarer cluster has vectors this many times narrower."""

    @model_validator(mode="after")
    def _widths(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        if self.d_model % 2:
            raise ValueError(f"d_model={self.d_model} must be even: half of a distance's encoding are sines.")
        edges = (0, *self.cutoffs, self.vocab_size)
        if list(edges) != sorted(set(edges)):
            raise ValueError(f"cutoffs {self.cutoffs} must rise and lie between 0 and vocab_size={self.vocab_size}.")
        if self.div_val > 1 and (not self.cutoffs or self.d_model // self.div_val ** len(self.cutoffs) == 0):
            raise ValueError(f"div_val={self.div_val} leaves no width to the last of {len(self.cutoffs) + 1} clusters.")
        return self


class RelativeLayer(nn.Module):
    """The weights of a layer, and what happens to its hidden states before and after they attend."""

    def __init__(self, config: RelativeConfig) -> None:
        super().__init__()
        d = config.d_model
        self.config = config
        self.project = nn.Linear(d, 3 * d, bias=False)
        self.project_distance = nn.Linear(d, d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.attention_norm, self.ff_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout)

    def ask(self, x: Hidden) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b t 2*d"]]:
        """Queries of the chunk, and its keys and values side by side."""
        d = x.shape[-1]
        query, entry = self.project(self.attention_norm(x) if self.config.norm == "pre" else x).split([d, 2 * d], -1)
        return query.unflatten(-1, (self.config.n_heads, -1)), entry

    def remember(self, hidden: Float[Tensor, "b s d"], *, frozen: bool = False) -> Float[Tensor, "b s 2*d"]:
        """Keys and values of remembered layer inputs, side by side. No gradient reaches frozen weights."""
        norm, weight = self.attention_norm, self.project.weight[hidden.shape[-1] :]
        scale, shift = norm.weight, norm.bias
        if frozen:
            weight, scale, shift = weight.detach(), scale.detach(), shift.detach()
        if self.config.norm == "pre":
            hidden = F.layer_norm(hidden, norm.normalized_shape, scale, shift, norm.eps)
        return F.linear(hidden, weight)

    def by_head(self, line: Float[Tensor, "b s k"]) -> Float[Tensor, "b s 2 h e"]:
        """Keys, then values, head by head."""
        return line.unflatten(-1, (2, self.config.n_heads, -1))

    def relation(self, x: Hidden, encoding: Float[Tensor, "r d"], biases: Biases) -> "Relation":
        """What the queries of a chunk need to meet distances.

        Projecting every distance costs ``r d^2``, carrying the projection to the queries costs ``b t h r d``: where a
        few tokens are evaluated, distances stay as they are.
        """
        lanes, time, width = x.shape
        heads = self.config.n_heads
        if not self.training and time <= QUERY_BLOCK and lanes * time * heads <= width:
            return Relation(encoding, None, biases)
        return Relation(encoding, self.project_distance(encoding).unflatten(-1, (heads, -1)), biases)

    def attend(
        self, query: Float[Tensor, "b t h e"], line: Float[Tensor, "b s k"], relation: "Relation", sight: Sight
    ) -> Float[Tensor, "b t h e"]:
        """What queries read from a line of keys and values."""
        entries = self.by_head(line)
        u, w = relation.biases
        if relation.projected is None:
            near, weight = relation.encoding[-line.shape[1] :], self.project_distance.weight
            return attend_relative_few(query, entries, near, weight, content_bias=u, distance_bias=w, sight=sight)
        return attend_relative(
            query,
            entries,
            relation.projected,
            content_bias=u,
            distance_bias=w,
            sight=sight,
            dropout=self.config.attention_dropout if self.training else 0.0,
        )

    def settle(self, x: Hidden, seen: Float[Tensor, "b t h e"]) -> Hidden:
        """The next hidden states, from these and from what attention brought."""
        a = x + F.dropout(self.out(seen.flatten(2)), self.config.dropout, self.training)
        if self.config.norm == "pre":
            return a + self.ff(self.ff_norm(a))
        a = self.attention_norm(a)
        return self.ff_norm(a + self.ff(a))


class Relation(NamedTuple):
    """What queries need to meet distances."""

    encoding: Float[Tensor, "r d"]
    """Encodings of the distances ``r - 1`` down to 0."""

    projected: Float[Tensor, "r h e"] | None
    """The same, as queries meet them; ``None`` where the projection goes to the queries' side."""

    biases: Biases


class RelativeModel(LanguageModel[M]):
    """Embedding, layers, biases and head; the heir says what its layers remember and see."""

    def __init__(self, config: RelativeConfig) -> None:
        super().__init__(config)
        c, d = config, config.d_model
        if c.cutoffs:
            self.embedding: nn.Module = AdaptiveEmbedding(
                vocab_size=c.vocab_size, d_embed=d, d_model=d, cutoffs=c.cutoffs, div_val=c.div_val
            )
            self.head = AdaptiveHead(self.embedding)
        else:
            self.embedding = nn.Embedding(c.vocab_size, d)
            self.head = LinearHead(self.embedding, tied=True)
        self.distances = Sinusoids(width=d, clamp=c.clamp_len)
        self.layers = nn.ModuleList(self.make_layer(c) for _ in range(c.n_layers))
        sets = 1 if c.tied_biases else c.n_layers
        self.content_bias = nn.Parameter(torch.empty(sets, c.n_heads, d // c.n_heads))
        self.distance_bias = nn.Parameter(torch.empty(sets, c.n_heads, d // c.n_heads))
        self.norm = nn.LayerNorm(d) if c.norm == "pre" else nn.Identity()
        for name, parameter in self.named_parameters():
            _init(name, parameter)

    @property
    def config(self) -> RelativeConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    @abstractmethod
    def make_layer(self, config: Any) -> RelativeLayer:
        """A layer of this architecture."""

    def embed(self, tokens: Tokens) -> Hidden:
        """Layer inputs of the first layer."""
        x = self.embedding(tokens)
        return self.drop(x if self.config.cutoffs else x * self.config.d_model**0.5)

    def biases(self, layer: int) -> Biases:
        """The biases u and w of a layer."""
        at = 0 if self.config.tied_biases else layer
        return self.content_bias[at], self.distance_bias[at]

    def must_project(self, kept: Float[Tensor, "b l s k"]) -> bool:
        """Whether a memory keeps hidden states of ours, where an evaluating model keeps their keys and values.

        Raises:
            MemoryMismatch: a training model is given keys and values, which hidden states cannot be had from.
        """
        c, width = self.config, kept.shape[-1]
        if self.training and width == 2 * c.d_model:
            raise MemoryMismatch(
                "this memory holds the keys and values of an evaluating model, training needs hidden states. "
                "Read the text again after model.train(), or call model.eval() first."
            )
        return not self.training and width == c.d_model and kept.shape[1] == c.n_layers and kept.dtype == self.dtype

    def projected(self, kept: Float[Tensor, "b l s d"]) -> Float[Tensor, "b l s 2*d"]:
        """Keys and values of the hidden states that all layers keep."""
        return torch.stack([layer.remember(kept[:, n]) for n, layer in enumerate(self.layers)], dim=1)  # pyright: ignore[reportCallIssue]

    def drop(self, x: Tensor) -> Tensor:
        """Dropout at the rate of the config, while training."""
        return F.dropout(x, self.config.dropout, self.training)


def _init(name: str, parameter: nn.Parameter) -> None:
    """The authors' initialisation: N(0, 0.02) for weights, N(1, 0.02) for norms, N(0, 0.01) to project tokens."""
    if "norm" in name and name.endswith("weight"):
        nn.init.normal_(parameter, mean=1.0, std=0.02)
    elif (name.endswith("bias") and parameter.ndim == 1) or "biases" in name:
        nn.init.zeros_(parameter)
    else:
        nn.init.normal_(parameter, std=0.01 if "projections" in name else 0.02)
