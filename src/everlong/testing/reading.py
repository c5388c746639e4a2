"""An encoder-decoder as the laws of streams take it: one whose new memories have read a source already."""

import torch
from torch import Tensor, nn

from everlong.memory import Memory
from everlong.models.seq2seq import AnySeq2Seq

SLOTS = 7
LENGTHS = (7, 4, 0)
"""Source tokens of lanes, in turn: a full one, one with padding, and one that has read nothing."""


class Reading(nn.Module):
    """A decoder with a source before it: a lane's source is always the same, whoever is beside it."""

    sources: Tensor
    lengths: Tensor

    def __init__(self, model: AnySeq2Seq, *, vocab_size: int, seed: int) -> None:
        super().__init__()
        self.model = model
        rng = torch.Generator().manual_seed(seed)
        device = next(model.parameters()).device
        self.register_buffer("sources", torch.randint(vocab_size, (len(LENGTHS), SLOTS), generator=rng).to(device))
        self.register_buffer("lengths", torch.tensor(LENGTHS, device=device))

    def init_memory(self, lanes: int) -> Memory:
        """Memories that have read."""
        turns = torch.arange(lanes, device=self.sources.device) % len(LENGTHS)
        return self.model.read(self.sources[turns], lengths=self.lengths[turns])

    def forward(
        self,
        tokens: Tensor,
        memory: Memory | None = None,
        *,
        starts: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Memory]:
        """The decoder's answer."""
        memory = self.init_memory(len(tokens)) if memory is None else memory
        return self.model(tokens, memory, starts=starts, lengths=lengths)
