"""Hierarchical attention network (Yang et al., 2016, NAACL): words make a sentence, sentences a document.

    h_it = [ GRU(x_it) ; GRU'(x_it) ]                 words t of sentence i, both ways
    s_i  = sum_t a_it h_it                            a_it = softmax_t( u_w . tanh(W_w h_it + b_w) )
    h_i  = [ GRU(s_i) ; GRU'(s_i) ]                   sentences i of the document, both ways
    v    = sum_i a_i h_i                              a_i  = softmax_i( u_s . tanh(W_s h_i + b_s) )

The paper's HN-AVE and HN-MAX take the mean or the largest of each coordinate instead of the weighted sums (`pooling`).
Words are tokens here, embedded in the width of the GRUs. A word's hidden state knows its sentence and nothing else; the
document vector, of which a class is told, is what `pool` returns. So training on hidden tokens teaches the words' GRU,
and what stands above it learns from documents.

No sentence and no document is padded to another's length (everlong.nn.stretches), so what is not there has no weight.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.errors import ConfigError
from everlong.heads import MaskedTokenHead
from everlong.models.base import run_layer
from everlong.models.encoder import GlobalMask, Sections
from everlong.models.registry import register
from everlong.models.sectioned import SectionedConfig, SectionedEncoder
from everlong.nn.both_ways import BiGRU
from everlong.nn.pooling import AttentionScore, Pooling, pool_evenly, softmax_by_stretch, sum_by_stretch
from everlong.nn.sections import Layout
from everlong.nn.stretches import Stretches
from everlong.shapes import Hidden, Lengths, Tokens


class HANConfig(SectionedConfig):
    """Sizes of a hierarchical attention network, and what sums up words and sentences."""

    n_layers: int = Field(default=1, ge=1)
    """Layers of the words' GRU, and of the sentences'."""
    segment: int = Field(default=64, ge=1)
    """Tokens of a sentence where none are marked."""
    pooling: Pooling = "attention"

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.d_model % 2:
            raise ValueError(
                f"d_model={self.d_model} cannot be shared by two directions; give d_model={self.d_model + 1}."
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Attended:
    """What a document vector was made of."""

    words: Float[Tensor, "b t"]
    """Weight of each token in its sentence; they add up to 1 there. 0 at padding."""
    sentences: Float[Tensor, "b s"]
    """Weight of each sentence in its text; they add up to 1 there. 0 after a text's last one."""


class Level(nn.Module):
    """A GRU both ways over the items of each stretch, which become one vector."""

    def __init__(self, config: HANConfig) -> None:
        super().__init__()
        self.rnn = BiGRU(width=config.d_model, n_layers=config.n_layers, dropout=config.dropout)
        self.pooling: Pooling = config.pooling
        self.score = AttentionScore(config.d_model) if config.pooling == "attention" else None

    def forward(self, line: Float[Tensor, "m d"], stretches: Stretches) -> Float[Tensor, "m d"]:
        """Hidden states of items."""
        return self.rnn(line, stretches)

    def sum_up(self, hidden: Float[Tensor, "m d"], stretches: Stretches) -> Float[Tensor, "n d"]:
        """One vector for each stretch."""
        if self.pooling == "attention":
            weights = self.weights(hidden, stretches)
            return sum_by_stretch(hidden, weights, stretches.number, count=stretches.count)
        return pool_evenly(hidden, stretches.number, count=stretches.count, pooling=self.pooling)

    def weights(self, hidden: Float[Tensor, "m d"], stretches: Stretches) -> Float[Tensor, "m 1"]:
        """How much each item counts in its stretch.

        Raises:
            ConfigError: nothing is weighed.
        """
        if self.score is None:
            raise ConfigError(
                f"pooling={self.pooling} weighs no words or sentences. Explain a model with pooling=attention."
            )
        return softmax_by_stretch(self.score(hidden), stretches.number, count=stretches.count)[0]


@register("han", kind="encoder")
class HAN(SectionedEncoder):
    """Words into sentences and sentences into a document, by GRUs both ways and attention to what matters."""

    Config = HANConfig
    joins_sections = False

    def __init__(self, config: HANConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size + 1, config.d_model)
        self.words, self.sentences = Level(config), Level(config)
        self.head = MaskedTokenHead(self.embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)

    @property
    def config(self) -> HANConfig:
        """The config this encoder was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode_sections(self, tokens: Tokens, clock: Clock, sections: Sections) -> Hidden:
        """Hidden states of all words."""
        layout = self.layout(clock, sections)
        return layout.put(self._dropped(self._read_words(tokens, layout)))

    def sum_up(
        self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None, sections: Sections | None
    ) -> Float[Tensor, "b d"]:
        """The document vectors."""
        del global_mask
        layout = self.layout(clock, sections)
        hidden = self._read_sentences(self._read_words(tokens, layout), layout)
        return self.sentences.sum_up(hidden, layout.sections)

    @torch.no_grad()
    def explain(self, tokens: Tokens, *, lengths: Lengths | None = None, sections: Sections | None = None) -> Attended:
        """The weights of words and sentences in the vector that `pool` makes of the same text.

        Raises:
            ShapeError: as for a call.
            ConfigError: the network does not attend, but takes means or largest numbers.
        """
        tokens, clock = self._real(tokens, lengths)
        layout = self.layout(clock, self._real_sections(sections, clock))
        words = self._read_words(tokens, layout)
        sentences = self._read_sentences(words, layout)
        by_word = self.words.weights(words, layout.tokens)[:, 0]
        by_sentence = self.sentences.weights(sentences, layout.sections)[:, 0]
        lane = layout.sections.number
        nth = torch.arange(len(lane), device=lane.device) - layout.sections.first[lane]
        spread = by_sentence.new_zeros(len(tokens), int(layout.sections.length.max()))
        spread[lane, nth] = by_sentence
        return Attended(words=layout.put(by_word), sentences=spread)

    def _read_words(self, tokens: Tokens, layout: Layout) -> Float[Tensor, "m d"]:
        x = self._dropped(self.embedding(layout.drawn(tokens)))
        return run_layer(self.words, (x, layout.tokens), checkpoint=self.recompute and self.training)

    def _read_sentences(self, words: Float[Tensor, "m d"], layout: Layout) -> Float[Tensor, "n d"]:
        x = self._dropped(self.words.sum_up(words, layout.tokens))
        return run_layer(self.sentences, (x, layout.sections), checkpoint=self.recompute and self.training)

    def _dropped(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        return F.dropout(x, self.config.dropout, self.training)
