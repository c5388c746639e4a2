"""How well an encoder guesses hidden tokens. The same places of the same text are hidden each time."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from everlong.data import Chunk, Masking, Tokenizer, TokenStore, document_windows
from everlong.errors import DataError
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.models import Encoder
from everlong.shapes import IGNORE

Guesses = tuple[Float[Tensor, "n"], Bool[Tensor, "n"]]
"""For every hidden token, its loss in nats, and whether it was the likeliest guess."""


@final
@dataclass(frozen=True, kw_only=True)
class HiddenEvaluation:
    """What guessing the hidden tokens of a text cost, the rest of their windows being known."""

    n_tokens: int
    """Tokens read."""
    n_hidden: int
    """Tokens that had to be guessed."""
    n_bytes: int
    """UTF-8 bytes that those stand for."""
    nats: float
    """Negative log-likelihood of all of them together."""
    n_right: int
    """How many were the likeliest guess."""
    lanes: int
    chunk: int
    seconds: float

    @property
    def loss(self) -> float:
        """Nats per hidden token."""
        return self.nats / self.n_hidden

    @property
    def accuracy(self) -> float:
        """Part of the hidden tokens that were guessed."""
        return self.n_right / self.n_hidden

    @property
    def bits_per_byte(self) -> float:
        """Bits per hidden byte."""
        return self.nats / math.log(2) / self.n_bytes

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "bits_per_byte": self.bits_per_byte,
            "n_tokens": self.n_tokens,
            "n_hidden": self.n_hidden,
            "n_bytes": self.n_bytes,
            "lanes": self.lanes,
            "chunk": self.chunk,
            "seconds": self.seconds,
        }


def guesses(encoder: Encoder, chunk: Chunk) -> Guesses:
    """What an encoder makes of a chunk with hidden tokens, in the order of the chunk."""
    hidden = encoder(chunk.tokens, lengths=chunk.lengths)
    asked = chunk.targets != IGNORE
    logits, wanted = encoder.head.logits(hidden[asked][None])[0], chunk.targets[asked]
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(exact, wanted, reduction="none"), logits.argmax(dim=-1) == wanted


def evaluate_hidden(
    encoder: Encoder,
    store: TokenStore,
    tokenizer: Tokenizer,
    masking: Masking,
    *,
    lanes: int,
    chunk: int,
    limit_tokens: int | None = None,
    report: Callable[[int], None] = ignore,
    guess: Callable[[Encoder, Chunk], Guesses] = guesses,
) -> HiddenEvaluation:
    """Loss and accuracy on hidden tokens of every document, in windows of `chunk` tokens that no other document enters.

    What is hidden follows from the document and the window, whatever else is read beside. ``limit_tokens`` reads that
    many tokens altogether: documents in the order of the store, the last one cut short. ``report`` is called with the
    number of tokens read so far. `guess` reads a chunk; weights that are shared among processes need another way.

    Raises:
        ConfigError: ``lanes``, ``chunk`` or ``limit_tokens`` is less than 1.
        DataError: another tokenizer built the store, or the text is so short that no token is hidden.
    """
    store.require_tokenizer(tokenizer)
    require_hidden(store, masking, chunk=chunk, limit=limit_tokens)
    began = time.perf_counter()
    n_tokens = n_hidden = n_bytes = n_right = 0
    nats = 0.0
    with evaluating(encoder), torch.no_grad():
        for part in _hidden(store, masking, lanes=lanes, chunk=chunk, limit=limit_tokens):
            losses, right = guess(encoder, part.to(encoder.device))
            nats += float(losses.double().sum())
            n_right += int(right.sum())
            n_hidden += len(right)
            n_bytes += tokenizer.n_bytes(part.targets[part.targets != IGNORE].numpy())
            n_tokens += int(part.lengths.sum())
            report(n_tokens)
    return HiddenEvaluation(
        n_tokens=n_tokens,
        n_hidden=n_hidden,
        n_bytes=n_bytes,
        nats=nats,
        n_right=n_right,
        lanes=lanes,
        chunk=chunk,
        seconds=time.perf_counter() - began,
    )


def require_hidden(store: TokenStore, masking: Masking, *, chunk: int, limit: int | None) -> None:
    """Make sure that a token is hidden in the first `limit` tokens, or in all.

    Raises:
        ConfigError: ``chunk`` or ``limit`` is less than 1.
        DataError: none is, so there is nothing to guess.
    """
    parts = _hidden(store, masking, lanes=1, chunk=chunk, limit=limit)
    if not any(bool((part.targets != IGNORE).any()) for part in parts):
        raise DataError(
            f"none of the {min(limit or store.n_tokens, store.n_tokens)} tokens to be measured is hidden, so there is "
            "nothing to guess. Give longer text, or measure more of it."
        )


def _hidden(store: TokenStore, masking: Masking, *, lanes: int, chunk: int, limit: int | None) -> Iterator[Chunk]:
    """Every window of every document with its hidden tokens."""
    for piece in document_windows(store, lanes=lanes, chunk=chunk, limit=limit):
        yield masking.hide(piece.chunk, zip(piece.document.tolist(), piece.offset.tolist(), strict=True))
