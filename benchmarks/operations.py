"""Useful operations of one training step: what the mathematics asks for, whatever the program does.

A multiplication and an addition count as two. Counted are the projections (query, key, value, output), the
feed-forward, the query-key and weight-value products of *visible* pairs only, and the logits; a training step is three
forward passes. Left out are the projection of the memory's states, its compression, hashing and sorting, the position
terms, softmax, norms and whatever a program computes and masks away or computes again: a contestant that does more work
than this earns nothing for it.
"""

from collections.abc import Sequence
from statistics import mean

from .case import Case

SGEMM_WIDTH = 2048


def attention_step(case: Case, *, visible_keys: float, projections: int = 4) -> float:
    """Operations of a training step of a Transformer whose queries see `visible_keys` keys on average.

    `3 tokens (n_layers (2 projections d² + 4 d d_ff + 4 d visible_keys) + 2 d vocab_size)`
    """
    return training(case, layers_of_a_token(case, visible_keys=visible_keys, projections=projections))


def with_memory(case: Case) -> float:
    """Operations of Transformer-XL: the whole memory and the segment so far."""
    return attention_step(case, visible_keys=case.mem_len + causal_keys(case))


def without_memory(case: Case) -> float:
    """Operations of a causal Transformer that sees its own chunk only."""
    return attention_step(case, visible_keys=causal_keys(case))


def sliding_window(case: Case) -> float:
    """Operations of a causal Transformer whose queries see the last `mem_len` tokens."""
    return attention_step(case, visible_keys=case.mem_len)


def with_compressed_memory(case: Case) -> float:
    """Operations of a Compressive Transformer: both memories and the segment so far."""
    return attention_step(case, visible_keys=case.mem_len + case.cmem_len + causal_keys(case))


def local_window(case: Case) -> float:
    """Operations of a Transformer whose queries see `window` tokens and nothing else."""
    return attention_step(case, visible_keys=case.window)


def window_and_global(case: Case) -> float:
    """Operations of a causal Longformer: the window and the tokens at the beginning."""
    return attention_step(case, visible_keys=case.window + case.n_global)


def window_and_symmetric_global(case: Case) -> float:
    """Operations of a bidirectional Longformer: global tokens also see all, with keys and values of their own."""
    return attention_step(case, visible_keys=case.window + 2 * case.n_global, projections=6)


def classified(case: Case) -> float:
    """Operations of telling the classes of whole texts by dense attention. Padding is no text."""
    return sum(3 * n * layers_of_a_token(case, visible_keys=n) for n in case.lengths(case.chunk))


def classified_by_window(case: Case) -> float:
    """The same by windows and a global token, which has projections of its own."""
    return sum(
        3 * n * layers_of_a_token(case, visible_keys=min(n, case.window + 2 * case.n_global), projections=6)
        for n in case.lengths(case.chunk)
    )


def translated(case: Case) -> float:
    """Operations of a training step of an encoder-decoder: tokens of the source in its layers, then `paired`."""
    return paired(case, [3 * n * layers_of_a_token(case, visible_keys=n) for n in case.lengths(case.source)])


def translated_by_window(case: Case) -> float:
    """The same, the source being read by windows and a global token."""
    visible = case.window + 2 * case.n_global
    sources = case.lengths(case.source)
    return paired(case, [3 * n * layers_of_a_token(case, visible_keys=min(n, visible), projections=6) for n in sources])


def paired(case: Case, sources: Sequence[float]) -> float:
    """Given those of the encoder: keys and values of the source in every layer, then the decoder and its logits."""
    pairs = zip(case.lengths(case.source), case.lengths(case.chunk), strict=True)
    total = sum(sources)
    for source, target in pairs:
        own = layers_of_a_token(case, visible_keys=(target + 1) / 2)
        crossing = case.n_layers * (4 * case.d_model**2 + 4 * case.d_model * source)
        total += 3 * case.n_layers * 4 * case.d_model**2 * source
        total += 3 * target * (own + crossing + 2 * case.d_model * case.vocab_size)
    return total


def layers_of_a_token(case: Case, *, visible_keys: float, projections: int = 4) -> float:
    """Operations of all layers for one token, forwards."""
    maps = 2 * projections * case.d_model**2 + 4 * case.d_model * case.d_ff
    return case.n_layers * (maps + 4 * case.d_model * visible_keys)


def hashed(case: Case) -> float:
    """Operations of a Reformer: `bucket_size` keys in each round, queries and keys being one map."""
    return attention_step(case, visible_keys=case.n_hashes * case.bucket_size, projections=3)


def strided(case: Case) -> float:
    """Operations of a strided Sparse Transformer: the last `stride` tokens, and every `stride`-th before them."""
    return attention_step(
        case, visible_keys=mean(min(i + 1, case.stride) + i // case.stride for i in range(case.chunk))
    )


def fixed(case: Case) -> float:
    """Operations of a fixed Sparse Transformer: the block so far, and `summary` tokens of each block before it."""
    return attention_step(
        case, visible_keys=mean(i % case.stride + 1 + case.summary * (i // case.stride) for i in range(case.chunk))
    )


def lstm(case: Case) -> float:
    """Operations of a training step of an LSTM: four gates, each with an input and a hidden matrix."""
    return training(case, case.n_layers * 4 * 4 * case.d_model**2)


def gru(case: Case) -> float:
    """Operations of a training step of a GRU: three gates."""
    return training(case, case.n_layers * 3 * 4 * case.d_model**2)


def dnc(case: Case) -> float:
    """Operations of a training step of a DNC: its links are a square of the slots, updated once, followed twice."""
    r, w, s = case.n_reads, case.slot_size, case.memory_slots
    return machine(case, told=w * r + 3 * w + 5 * r + 3, access=2 * s * w * (2 * r + 3) + 4 * s * s * (r + 1))


def ntm(case: Case) -> float:
    """Operations of a training step of an NTM with one head that writes."""
    r, w, s = case.n_reads, case.slot_size, case.memory_slots
    return machine(case, told=(r + 1) * (w + 6) + 2 * w, access=2 * s * w * (2 * r + 3))


def mann(case: Case) -> float:
    """Operations of a training step of a MANN, whose heads read and write."""
    r, w, s = case.n_reads, case.slot_size, case.memory_slots
    return machine(case, told=r * w, access=2 * s * w * 3 * r)


def machine(case: Case, *, told: float, access: float) -> float:
    """Operations of a controller of LSTM layers that tells a matrix so many numbers, reads it, and answers."""
    d, reads = case.d_model, case.n_reads * case.slot_size
    controller = 8 * d * (2 * d * case.n_layers + reads)
    return training(case, controller + 2 * d * told + 2 * (d + reads) * d + access)


def matrix_product(_case: Case) -> float:
    """Operations of one square matrix product, the machine's peak."""
    return 2 * SGEMM_WIDTH**3


def causal_keys(case: Case) -> float:
    """Keys of its own chunk that a query sees on average, itself among them."""
    return (case.chunk + 1) / 2


def training(case: Case, layers: float) -> float:
    """Three forward passes over every token of the step, the logits included."""
    return 3 * case.lanes * case.chunk * (layers + 2 * case.d_model * case.vocab_size)
