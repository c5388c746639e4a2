"""Targets searched for by beam search, many at once, each as it would be alone: translations, summaries."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import final

import torch
from pydantic import Field

from everlong.config import Config
from everlong.data.examples import Example
from everlong.data.pair_store import collate_sources, edge_token
from everlong.data.tokenizers import Tokenizer
from everlong.errors import ConfigError
from everlong.evaluate.pairs import read_sources
from everlong.generate.beam import beam_search
from everlong.generate.text import check_tokenizer
from everlong.models.seq2seq import AnySeq2Seq

POOL = 32
"""Batches whose sources are sorted by length together."""


class Search(Config):
    """How targets are searched for."""

    beams: int = Field(default=4, ge=1)
    """Hypotheses kept in each step; 1 takes the most likely token each time."""
    length_penalty: float = Field(default=0.6, ge=0.0, allow_inf_nan=False)
    """Exponent of Wu et al. (2016); more favours longer targets."""
    no_repeat: int = Field(default=0, ge=0)
    """How many tokens in a row may not come twice in a target; 0 lets all."""

    @abstractmethod
    def limit(self, source_length: int) -> int:
        """The most tokens that a target may have, the one that ends it included."""


@final
@dataclass(frozen=True, kw_only=True)
class Target:
    """What was written for a source."""

    text: str
    score: float
    """Logarithm of its probability, for its length."""
    ended: bool
    """Whether the model ended it, rather than its length."""
    left_out: int = 0
    """Tokens of its source that were not read."""


EMPTY = Target(text="", score=0.0, ended=True)


def write_targets(
    model: AnySeq2Seq, tokenizer: Tokenizer, sources: Iterable[Example], *, search: Search, lanes: int
) -> Iterator[Target]:
    """What a model writes for each source, in their order; nothing for one of no tokens.

    Args:
        model: in evaluation mode.
        tokenizer: the one the model was trained with.
        sources: examples with a `source`, and `sections` where it is known where these begin.
        search: how targets are searched for.
        lanes: sources read side by side.

    Raises:
        ConfigError: the model is in training mode, the tokenizer has another vocabulary, or ``lanes`` is less than 1.
        RunError: the model's scores hold NaN or infinity.
    """
    check_tokenizer(model, tokenizer)
    if lanes < 1:
        raise ConfigError(f"lanes={lanes} is too few to read anything side by side. Give 1 or more.")
    rest = iter(sources)
    while pool := list(islice(rest, POOL * lanes)):
        found = [EMPTY] * len(pool)
        sizes = [len(one["source"]) for one in pool]
        waiting = sorted((n for n, size in enumerate(sizes) if size), key=lambda n: -sizes[n])
        for at in range(0, len(waiting), lanes):
            beside = waiting[at : at + lanes]
            for n, target in zip(beside, _write(model, tokenizer, [pool[n] for n in beside], search), strict=True):
                found[n] = target
        yield from found


@torch.inference_mode()
def _write(model: AnySeq2Seq, tokenizer: Tokenizer, examples: Sequence[Example], search: Search) -> Iterator[Target]:
    edge = edge_token(tokenizer)
    sources = collate_sources(examples).to(model.device)
    found = beam_search(
        model,
        read_sources(model, sources),
        torch.full_like(sources.lengths, edge),
        beams=search.beams,
        max_new_tokens=[search.limit(length) for length in sources.lengths.tolist()],
        length_penalty=search.length_penalty,
        end=edge,
        no_repeat=search.no_repeat,
    )
    for hypotheses in found:
        best = hypotheses[0]
        # No target had a line's end in it, but a model may write one: a return, or a line feed within a token.
        text = tokenizer.decode(best.tokens).replace("\n", " ").replace("\r", " ")
        yield Target(text=text, score=best.score, ended=best.ended)
