"""Useful operations of one training step: what the mathematics asks for, whatever the program does.

A multiplication and an addition count as two. Counted are the projections (query, key, value, output), the
feed-forward, the query-key and weight-value products of *visible* pairs only, and the logits; a training step is three
forward passes. Left out are the projection of the memory's states, the position terms, softmax, norms and whatever a
program computes and masks away: a contestant that does more work than this earns nothing for it.
"""

from .case import Case

SGEMM_WIDTH = 2048


def attention_step(case: Case, *, visible_keys: float) -> float:
    """Operations of a training step of a Transformer whose queries see `visible_keys` keys on average.

    `3 tokens (n_layers (8 d² + 4 d d_ff + 4 d visible_keys) + 2 d vocab_size)`
    """
    projections = 8 * case.d_model**2
    feed_forward = 4 * case.d_model * case.d_ff
    pairs = 4 * case.d_model * visible_keys
    return training(case, case.n_layers * (projections + feed_forward + pairs))


def with_memory(case: Case) -> float:
    """Operations of Transformer-XL: the whole memory and the segment so far."""
    return attention_step(case, visible_keys=case.mem_len + causal_keys(case))


def without_memory(case: Case) -> float:
    """Operations of a causal Transformer that sees its own chunk only."""
    return attention_step(case, visible_keys=causal_keys(case))


def sliding_window(case: Case) -> float:
    """Operations of a causal Transformer whose queries see the last `mem_len` tokens."""
    return attention_step(case, visible_keys=case.mem_len)


def lstm(case: Case) -> float:
    """Operations of a training step of an LSTM: four gates, each with an input and a hidden matrix."""
    return training(case, case.n_layers * 4 * 4 * case.d_model**2)


def gru(case: Case) -> float:
    """Operations of a training step of a GRU: three gates."""
    return training(case, case.n_layers * 3 * 4 * case.d_model**2)


def matrix_product(_case: Case) -> float:
    """Operations of one square matrix product, the machine's peak."""
    return 2 * SGEMM_WIDTH**3


def causal_keys(case: Case) -> float:
    """Keys of its own chunk that a query sees on average, itself among them."""
    return (case.chunk + 1) / 2


def training(case: Case, layers: float) -> float:
    """Three forward passes over every token of the step, the logits included."""
    return 3 * case.lanes * case.chunk * (layers + 2 * case.d_model * case.vocab_size)
