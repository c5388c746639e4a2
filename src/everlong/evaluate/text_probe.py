"""How far back a language model uses what it has read of a text: five measurements, one result.

- bits by position in the document, under three readings (everlong.evaluate.reader);
- bits of the same tokens by how much context they are given (everlong.evaluate.contexts);
- the relative effective context length (everlong.evaluate.effective);
- key tokens and what they cost (everlong.evaluate.key_tokens);
- the receptive field of the gradients beside the declared reach (everlong.evaluate.field).
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from everlong.data import DocumentChunk, Tokenizer, TokenStore, document_chunks
from everlong.evaluate.contexts import contexts_for, losses_by_context, losses_with_context
from everlong.evaluate.effective import SHARES, EffectiveContext, effective_context
from everlong.evaluate.evaluation import Evaluation
from everlong.evaluate.field import ReceptiveField, receptive_field
from everlong.evaluate.key_tokens import KeyTokens, is_key, key_tokens
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import evaluate, ignore
from everlong.evaluate.targets import choose_targets
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE, Losses

TARGETS = 16_384
"""Tokens that are read again with every context, at most."""
PLACES = 8
"""Losses whose gradients are taken."""
FIELD = 1024
"""Tokens that are read to measure the field of a model whose reach nothing bounds."""


@final
@dataclass(frozen=True, kw_only=True)
class ContextBits:
    """What the targets cost with so much context; ``None`` stands for all of the document before them."""

    context: int | None
    bits: float
    n_bytes: int

    @property
    def per_byte(self) -> float:
        """Bits per UTF-8 byte."""
        return self.bits / self.n_bytes


@final
@dataclass(frozen=True, kw_only=True)
class TextProbe:
    """How far back a model uses what it has read."""

    evaluation: Evaluation
    by_context: tuple[ContextBits, ...]
    n_targets: int
    effective: tuple[EffectiveContext, ...]
    key: KeyTokens
    field: ReceptiveField
    reach: int | None
    """What the model's config declares."""
    read_for_field: int
    """Tokens that were read to measure the field: no distance is longer."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "evaluation": self.evaluation.to_dict(),
            "by_context": [{"context": c.context, "bits_per_byte": c.per_byte} for c in self.by_context],
            "n_targets": self.n_targets,
            "effective_context": [found.to_dict() for found in self.effective],
            "key_tokens": self.key.to_dict(),
            "field": {
                "declared": self.reach,
                "farthest": self.field.farthest,
                "within_99_percent": self.field.within(0.99),
                "exceeds": self.field.exceeds(self.reach),
                "n_tokens": self.read_for_field,
                "by_distance": self.field.doublings(),
            },
        }


def probe_text(
    model: AnyLanguageModel,
    store: TokenStore,
    tokenizer: Tokenizer,
    *,
    lanes: int,
    chunk: int,
    limit: int,
    longest: int | None = None,
    judge: AnyLanguageModel | None = None,
    report: Callable[[int], None] = ignore,
) -> TextProbe:
    """Measure how far back a model uses what it has read.

    Args:
        model: a language model; ``model.config.reach`` says how far back it sees.
        store: the text.
        tokenizer: what made it into tokens, for the model and the judge.
        lanes: documents, or windows, read side by side.
        chunk: tokens in one call, after which the reset reading forgets; also the short context of key tokens.
        limit: tokens read altogether, documents in the order of the store.
        longest: the longest context to try, a power of two; beyond the reach unless given, as far as the text allows.
        judge: the model that picks the key tokens; `model` itself unless given.
        report: called with the number of tokens read so far; windows of single contexts are not counted.

    Raises:
        ConfigError: a size is out of range.
        DataError: another tokenizer built the store, or the documents are too short for the contexts.
    """
    sizes = np.clip(limit - store.starts[:-1], 0, np.diff(store.starts))
    contexts = contexts_for(model.config.reach, document=int(sizes.max()), longest=longest)
    targets = choose_targets(store, longest=max(contexts[-1], chunk), count=TARGETS, limit=limit)
    kept = _Kept(store)
    evaluation = evaluate(
        model, store, tokenizer, lanes=lanes, chunk=chunk, limit_tokens=limit, report=report, watch=kept.keep
    )
    places = targets.places
    readings = {name: nats[places] for name, nats in kept.nats.items()}
    nats = losses_by_context(model, store, targets, contexts, lanes=lanes, chunk=chunk)
    short, full = losses_with_context(model, store, targets, chunk, lanes=lanes, chunk=chunk), readings["carried"]
    if judge is not None:
        short = losses_with_context(judge, store, targets, chunk, lanes=lanes, chunk=chunk)
        full = _carried(judge, store, lanes=lanes, chunk=chunk, limit=limit)[places]
    n_bytes = int(tokenizer.byte_lengths[store.tokens[places].astype(np.int64)].sum())
    field, read = _field_of(model, store, sizes)
    rows = zip((*contexts, None), (*nats, readings["carried"]), strict=True)
    return TextProbe(
        evaluation=evaluation,
        by_context=tuple(
            ContextBits(context=context, bits=float(row.sum()) / math.log(2), n_bytes=n_bytes) for context, row in rows
        ),
        n_targets=len(places),
        effective=tuple(effective_context(contexts, nats, share=share) for share in SHARES),
        key=key_tokens(
            is_key(short, full), {name: readings.get(name) for name in ("carried", "reset", "other")}, short=chunk
        ),
        field=field,
        reach=model.config.reach,
        read_for_field=read,
    )


@final
class _Kept:
    """The nats of every token of a store under each reading, where they are told of chunk by chunk."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self.nats: dict[str, NDArray[np.float64]] = {}

    def keep(self, piece: DocumentChunk, losses: Mapping[str, Losses]) -> None:
        """Remember the losses of a chunk's targets."""
        asked = (piece.chunk.targets != IGNORE).numpy()
        begins = self._store.starts[piece.document.numpy()] + piece.offset.numpy()
        places = (begins[:, None] + np.arange(1, asked.shape[1] + 1))[asked]
        readings = losses if self._store.n_documents > 1 else {n: x for n, x in losses.items() if n != "other"}
        for name, nats in readings.items():
            kept = self.nats.setdefault(name, np.full(self._store.n_tokens, np.nan))
            kept[places] = nats.double().cpu().numpy()[asked]


def _carried(model: AnyLanguageModel, store: TokenStore, *, lanes: int, chunk: int, limit: int) -> NDArray[np.float64]:
    """Nats of every token with everything before it in memory."""
    kept, memory = _Kept(store), model.init_memory(lanes)
    with evaluating(model), torch.inference_mode():
        for piece in document_chunks(store, lanes=lanes, chunk=chunk, limit=limit):
            batch = piece.chunk.to(model.device)
            losses, memory, _ = model.token_losses(
                batch.tokens, batch.targets, memory, starts=batch.starts, lengths=batch.lengths
            )
            kept.keep(piece, {"carried": losses})
    return kept.nats["carried"]


def _field_of(
    model: AnyLanguageModel, store: TokenStore, sizes: Sequence[int] | NDArray[np.int64]
) -> tuple[ReceptiveField, int]:
    """The field at some of the last tokens of a stretch of the longest document, in float64, and the stretch's length.

    The last loss is taken at the end of a segment of any power of two up to 256, where models that read in segments
    see farthest.
    """
    document = int(np.argmax(sizes))
    reach = model.config.reach
    wanted = FIELD if reach is None else reach + 17 * PLACES
    size = min(-(-wanted // 256) * 256, int(sizes[document]) - 1)
    ids = torch.from_numpy(store.document(document)[: size + 1].astype(np.int64))[None].to(model.device)
    at = [t for i in range(PLACES) if (t := size - 1 - 17 * i) >= 0]
    ours = copy.deepcopy(model).double()
    return receptive_field(ours, ids[:, :-1], ids[:, 1:], at), size
