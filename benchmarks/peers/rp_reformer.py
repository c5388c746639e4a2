"""reformer-pytorch: sorted buckets in every layer, reversible; it has no memory, so it neither streams nor decodes."""

from typing import Any

from reformer_pytorch import ReformerLM
from torch import Tensor

from ..case import Case
from ..contestant import Contestant, next_token_loss


def build(case: Case) -> Contestant:
    """All layers hash; the feed-forward is whole, for its default of 100 pieces only costs time."""
    model = ReformerLM(
        num_tokens=case.vocab_size,
        dim=case.d_model,
        depth=case.n_layers,
        max_seq_len=case.positions,
        heads=case.n_heads,
        dim_head=case.d_model // case.n_heads,
        bucket_size=case.bucket_size,
        n_hashes=case.n_hashes,
        ff_mult=case.d_ff // case.d_model,
        ff_chunks=1,
        causal=True,
    )

    def advance(tokens: Tensor, _memory: Any) -> tuple[Tensor, None]:
        return model(tokens), None

    def loss(tokens: Tensor, targets: Tensor, _memory: Any) -> tuple[Tensor, float, None]:
        return next_token_loss(model(tokens), targets), 0.0, None

    return Contestant(module=model, case=case, advance=advance, loss=loss)
