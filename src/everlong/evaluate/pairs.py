"""How well translations and summaries are foreseen: bits for each byte of the targets, line feeds at their ends too."""

import math
from collections.abc import Callable

import torch

from everlong.data import ExampleStore, Tokenizer, example_batches
from everlong.data.pair_store import PairBatch, Sources, collate_pairs, edge_token
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.models.seq2seq import AnySeq2Seq, SourceMemory
from everlong.shapes import Losses

LossesOf = Callable[[PairBatch], Losses]


def pair_losses(model: AnySeq2Seq, batch: PairBatch) -> Losses:
    """Nats of every target token ``[b t]``, each from its source and the target tokens before it."""
    memory = read_sources(model, batch.sources)
    losses, _, _ = model.token_losses(batch.tokens, batch.targets, memory, lengths=batch.lengths)
    return losses


def read_sources(model: AnySeq2Seq, sources: Sources) -> SourceMemory:
    """The memory of sources, in their sections if the model reads in those."""
    sections = sources.sections if model.has_sections else None
    return model.read(sources.tokens, lengths=sources.lengths, sections=sections)


@torch.no_grad()
def bits_per_target_byte(
    model: AnySeq2Seq,
    pairs: ExampleStore,
    tokenizer: Tokenizer,
    *,
    lanes: int,
    limit: int | None = None,
    losses: LossesOf | None = None,
    report: Callable[[int], None] = ignore,
) -> float:
    """Bits for each byte of the targets.

    Args:
        model: in any mode; it is left in it.
        pairs: what to measure it on.
        tokenizer: the one that made the pairs.
        lanes: pairs read side by side.
        limit: how many pairs, spread evenly over all; ``None`` for all.
        losses: how a batch is read; `pair_losses` of the model unless given.
        report: told how many pairs are done so far.

    Raises:
        ConfigError: ``lanes`` or ``limit`` is less than 1.
    """
    edge = edge_token(tokenizer)
    nats, n_bytes, done = 0.0, 0, 0
    with evaluating(model):
        for examples in example_batches(pairs, lanes=lanes, limit=limit):
            batch = collate_pairs(examples, edge=edge).to(model.device)
            found = pair_losses(model, batch) if losses is None else losses(batch)
            nats += found.double().sum().item()
            n_bytes += sum(tokenizer.n_bytes(example["target"]) + 1 for example in examples)
            done += len(examples)
            report(done)
    return nats / math.log(2) / n_bytes
