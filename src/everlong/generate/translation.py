"""Lines translated by beam search, many at once, each as it would be alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import final

import torch
from pydantic import Field

from everlong.config import Config
from everlong.data.pair_store import edge_token
from everlong.data.tokenizers import Tokenizer
from everlong.errors import ConfigError
from everlong.generate.beam import beam_search
from everlong.generate.text import check_tokenizer
from everlong.models.seq2seq import AnySeq2Seq

POOL = 32
"""Batches whose lines are sorted by length together."""


class Decoding(Config):
    """How translations are searched for."""

    beams: int = Field(default=4, ge=1)
    """Hypotheses kept in each step; 1 takes the most likely token each time."""
    length_penalty: float = Field(default=0.6, ge=0.0, allow_inf_nan=False)
    """Exponent of Wu et al. (2016); more favours longer translations."""
    longest: float = Field(default=3.0, gt=0.0, allow_inf_nan=False)
    """A translation ends after so many times the tokens of its source, and `SPARE` more."""


SPARE = 50


@final
@dataclass(frozen=True, kw_only=True)
class Translation:
    """A line in another language."""

    text: str
    score: float
    """Logarithm of its probability, for its length."""
    ended: bool
    """Whether the model ended it, rather than its length."""


EMPTY = Translation(text="", score=0.0, ended=True)


def translate_lines(
    model: AnySeq2Seq, tokenizer: Tokenizer, lines: Iterable[str], *, decoding: Decoding, lanes: int = 16
) -> Iterator[Translation]:
    """Translations of lines, in their order; a line is read whole, however long, and an empty one stays empty.

    Raises:
        ConfigError: the model is in training mode, the tokenizer has another vocabulary, or ``lanes`` is less than 1.
        DataError: a line has half a character (a lone surrogate).
        RunError: the model's scores hold NaN or infinity.
    """
    check_tokenizer(model, tokenizer)
    if lanes < 1:
        raise ConfigError(f"lanes={lanes} is too few to translate anything side by side. Give 1 or more.")
    rest = iter(lines)
    while pool := list(islice(rest, POOL * lanes)):
        found = [EMPTY] * len(pool)
        waiting = sorted((n for n, line in enumerate(pool) if line.strip()), key=lambda n: -len(pool[n]))
        for at in range(0, len(waiting), lanes):
            beside = waiting[at : at + lanes]
            for n, translation in zip(
                beside, _translate([pool[n] for n in beside], model, tokenizer, decoding), strict=True
            ):
                found[n] = translation
        yield from found


@torch.inference_mode()
def _translate(lines: list[str], model: AnySeq2Seq, tokenizer: Tokenizer, decoding: Decoding) -> Iterator[Translation]:
    edge = edge_token(tokenizer)
    sources = [torch.tensor(tokenizer.encode(line)) for line in lines]
    lengths = torch.tensor([len(source) for source in sources], device=model.device)
    source = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True).to(model.device)
    found = beam_search(
        model,
        model.read(source, lengths=lengths),
        torch.full_like(lengths, edge),
        beams=decoding.beams,
        max_new_tokens=[int(decoding.longest * length) + SPARE for length in lengths.tolist()],
        length_penalty=decoding.length_penalty,
        end=edge,
    )
    for hypotheses in found:
        best = hypotheses[0]
        # No target had a line's end in it, but a model may write one: a return, or a line feed within a token.
        text = tokenizer.decode(best.tokens).replace("\n", " ").replace("\r", " ")
        yield Translation(text=text, score=best.score, ended=best.ended)
