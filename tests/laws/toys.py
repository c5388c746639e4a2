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


@memory_type
class PinnedMemory(Memory):
    position: Tensor
    ring: Tensor
    pins: Tensor


class Pinned(Window):
    """The same, and in the same softmax the first two tokens of the document, where the window does not show them."""

    pins = 2

    def init_memory(self, lanes: int) -> PinnedMemory:
        new = super().init_memory(lanes)
        return PinnedMemory(**new.flatten(), pins=torch.zeros_like(new.ring[:, : self.pins]))

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        lanes, time = tokens.shape
        memory = self.init_memory(lanes) if memory is None else memory
        clock = tick(memory.position, time=time, starts=starts, lengths=lengths)
        x, index = self.embedding(tokens), torch.arange(time)
        line = torch.cat([self.cleaned(memory.ring, clock), x], dim=1)
        distance = self.capacity + index[:, None] - torch.arange(line.shape[1])
        near = self.sees(distance, clock, index=index) | (distance == 0)
        held = self.pins_seen(memory.pins, x, clock)
        query = self.query(x)
        scores = torch.cat([query @ line.transpose(1, 2), (query[:, :, None] * held).sum(dim=-1)], dim=-1)
        visible = torch.cat([near, self.beside(clock, index=index)], dim=-1)
        weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)
        seen = weights[..., : line.shape[1]] @ line + (weights[..., line.shape[1] :, None] * held).sum(dim=2)
        idle = torch.zeros(lanes, dtype=torch.bool) if clock.lengths is None else clock.lengths == 0
        pins = torch.where(idle[:, None, None], memory.pins, held[:, -1])
        after = PinnedMemory(position=clock.following, ring=self.newest(memory.ring, line, clock), pins=pins)
        return self.out(x + seen), after

    def pins_seen(self, pins: Tensor, x: Tensor, clock: Clock) -> Tensor:
        """``[b, t, 2, d]``: the pins as they are when each token is read."""
        held = torch.where(torch.arange(self.pins) < clock.before[:, None], pins.movedim(-1, 0), 0).movedim(0, -1)
        seen = []
        for t in range(clock.time):
            fills = self.fills(clock, index=t)
            if clock.valid is not None:
                fills = fills & clock.valid[:, t, None]
            held = torch.where(fills[..., None], x[:, t, None], held)
            seen.append(held)
        return torch.stack(seen, dim=1)

    def fills(self, clock: Clock, *, index: int) -> Tensor:
        return clock.position[:, index, None] == torch.arange(self.pins)

    def beside(self, clock: Clock, *, index: Tensor) -> Tensor:
        distance = clock.position[..., None] - torch.arange(self.pins)
        return distance > (self.into_segment(clock, index) + self.before)[..., None]
