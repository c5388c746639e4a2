"""Bits per byte of a held-out text, read from front to back with carried memory."""

import math

import torch

from everlong.data import Tokenizer, TokenStore, document_chunks
from everlong.errors import DataError
from everlong.evaluate.mode import evaluating
from everlong.shapes import IGNORE
from everlong.train.stream_loss import StreamLoss


@torch.no_grad()
def valid_bits_per_byte(
    stream: StreamLoss, store: TokenStore, tokenizer: Tokenizer, *, lanes: int, chunk: int, limit: int
) -> float:
    """Bits that the model needs for each byte of the first `limit` tokens, first tokens of documents left out."""
    model = stream.model
    lengths = torch.from_numpy(tokenizer.byte_lengths)
    with evaluating(model):
        # Lanes without a document would cost as much as lanes with one.
        lanes = min(lanes, int((store.starts[:-1] < limit).sum()))
        memory = model.init_memory(lanes)
        nats, n_bytes = torch.zeros((), dtype=torch.float64), 0
        for part in document_chunks(store, lanes=lanes, chunk=chunk, limit=limit):
            summed, memory, _ = stream((part.chunk.to(model.device),), memory)
            nats += summed.double().cpu()
            n_bytes += int(lengths[part.chunk.targets[part.chunk.targets != IGNORE]].sum())
    return float(nats) / math.log(2) / max(1, n_bytes)


def require_targets(store: TokenStore, *, limit: int) -> None:
    """Make sure that the first `limit` tokens hold a document of two tokens or more.

    Raises:
        DataError: they do not, so there is nothing to predict.
    """
    ends = store.starts[1:].clip(max=limit)
    if int((ends - store.starts[:-1]).max()) < 2:
        raise DataError(
            f"the first {limit} tokens of the validation text hold no document of two tokens or more, so there is "
            "nothing to predict. Give a longer validation text or a larger eval_tokens."
        )
