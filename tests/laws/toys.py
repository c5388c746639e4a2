# ruff: noqa: ARG002 - methods take what mutants will want
"""Three correct models of a few lines each, outside the registry. `mutants` breaks each of them in one place."""

import torch
from torch import Tensor, nn

from everlong.clock import Clock, tick
from everlong.memory import Memory, memory_type

WIDTH = 4


@memory_type
class StateMemory(Memory):
    position: Tensor
    hidden: Tensor


class Recurrent(nn.Module):
    """``h' = tanh(W x + U h)``, one token at a time; documents begin at zero, padding moves nothing."""

    vocab_size = 7

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(self.vocab_size, WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, self.vocab_size)

    def init_memory(self, lanes: int) -> StateMemory:
        like = self.out.weight
        return StateMemory(
            position=torch.zeros(lanes, dtype=torch.int64),
            hidden=torch.zeros(lanes, WIDTH, dtype=like.dtype),
        )

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        lanes, time = tokens.shape
        memory = self.init_memory(lanes) if memory is None else memory
        starts = torch.zeros_like(tokens, dtype=torch.bool) if starts is None else starts
        lengths = torch.full((lanes,), time) if lengths is None else lengths
        position, hidden, outputs = memory.position, memory.hidden, []
        for t in range(time):
            real = t < lengths
            position = torch.where(starts[:, t] & real, 0, position)
            before = torch.where(self.is_new(position)[:, None], 0, hidden)
            after = self.step(self.embedding(tokens[:, t]), before, position=position, index=t)
            outputs.append(after)
            hidden = torch.where(self.moves(real)[:, None], after, hidden)
            position = torch.where(real, position + 1, position)
        return self.out(torch.stack(outputs, dim=1)), self.remember(position, hidden)

    def is_new(self, position: Tensor) -> Tensor:
        return position == 0

    def moves(self, real: Tensor) -> Tensor:
        return real

    def step(self, x: Tensor, hidden: Tensor, *, position: Tensor, index: int) -> Tensor:
        return torch.tanh(x + self.mix(hidden))

    def remember(self, position: Tensor, hidden: Tensor) -> StateMemory:
        return StateMemory(position=position, hidden=hidden)


class Blocks(Recurrent):
    """Adds up tokens and mixes the sum into a summary at the end of every third token of the document."""

    def step(self, x: Tensor, hidden: Tensor, *, position: Tensor, index: int) -> Tensor:
        total = 0.7 * hidden + x
        ends = self.index_in_document(position, index) % 3 == 2
        return torch.where(ends[:, None], torch.tanh(self.mix(total)), total)

    def index_in_document(self, position: Tensor, index: int) -> Tensor:
        return position


@memory_type
class WindowMemory(Memory):
    position: Tensor
    ring: Tensor


class Window(nn.Module):
    """Attention of one head to its segment of 4 tokens so far and the 3 tokens before it; newest slot last."""

    vocab_size = 7
    segment, before = 4, 3

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(self.vocab_size, WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, self.vocab_size)

    @property
    def capacity(self) -> int:
        return self.segment - 1 + self.before

    def init_memory(self, lanes: int) -> WindowMemory:
        like = self.out.weight
        return WindowMemory(
            position=torch.zeros(lanes, dtype=torch.int64),
            ring=torch.zeros(lanes, self.capacity, WIDTH, dtype=like.dtype),
        )

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        lanes, time = tokens.shape
        memory = self.init_memory(lanes) if memory is None else memory
        clock = tick(memory.position, time=time, starts=starts, lengths=lengths)
        x = self.embedding(tokens)
        ring = self.cleaned(memory.ring, clock)
        line = torch.cat([ring, x], dim=1)
        key = torch.arange(line.shape[1])
        distance = ring.shape[1] + torch.arange(time)[:, None] - key
        visible = self.sees(distance, clock, index=torch.arange(time)) | (distance == 0)
        scores = (self.query(x) @ line.transpose(1, 2)).masked_fill(~visible, -torch.inf)
        seen = torch.softmax(scores, dim=-1) @ line
        return self.out(x + seen), self.remember(memory, line, clock)

    def cleaned(self, ring: Tensor, clock: Clock) -> Tensor:
        age = torch.arange(ring.shape[1], 0, -1)
        return torch.where((age <= clock.before[:, None])[..., None], ring, 0)

    def sees(self, distance: Tensor, clock: Clock, *, index: Tensor) -> Tensor:
        reach = self.into_segment(clock, index) + self.before
        near = distance <= torch.minimum(reach, clock.position)[..., None]
        return self.is_past(distance) & self.in_document(near, distance, clock)

    def into_segment(self, clock: Clock, index: Tensor) -> Tensor:
        return clock.position % self.segment

    def is_past(self, distance: Tensor) -> Tensor:
        return distance >= 0

    def in_document(self, near: Tensor, distance: Tensor, clock: Clock) -> Tensor:
        return near

    def remember(self, memory: WindowMemory, line: Tensor, clock: Clock) -> WindowMemory:
        return WindowMemory(position=clock.following, ring=self.newest(memory.ring, line, clock))

    def newest(self, ring: Tensor, line: Tensor, clock: Clock) -> Tensor:
        capacity = ring.shape[1]
        real = torch.full((len(line),), clock.time) if clock.lengths is None else clock.lengths
        index = real[:, None] + torch.arange(capacity)
        moved = line.gather(1, index[..., None].expand(-1, -1, line.shape[2]))
        return torch.where((real == 0)[:, None, None], ring, moved)
