# ruff: noqa: ARG002 - a mutant overrides a method and ignores what it is given
"""Models that break exactly one thing, each with the law it breaks. They say what every law is for."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everlong.memory import Memory, memory_type
from tests.laws.toys import WIDTH, Blocks, Pinned, Recurrent, StateMemory, Window, WindowMemory


@dataclass(frozen=True)
class Mutant:
    law: str
    model: type[nn.Module]


class SegmentsFromTheCall(Window):
    """The classic: a token sees its chunk so far, so whoever cuts elsewhere gets another model."""

    def into_segment(self, clock, index):
        return (index % self.segment).expand_as(clock.position)


class RingOneSlotShort(Window):
    @property
    def capacity(self) -> int:
        return self.segment - 2 + self.before


class RingForgetsItsOldest(Window):
    """The ring has its size, but the first slot is lost on every call."""

    def newest(self, ring, line, clock):
        moved = super().newest(ring, line, clock)
        return torch.cat([torch.zeros_like(moved[:, :1]), moved[:, 1:]], dim=1)


class BlocksFromTheCall(Blocks):
    def index_in_document(self, position, index):
        return torch.full_like(position, index)


class PinsTheCall(Pinned):
    """Every call's first tokens are pinned, as if a document began there."""

    def fills(self, clock, *, index):
        return (torch.arange(self.pins) == index).expand(len(clock.position), -1)


class PinCountedTwice(Pinned):
    """A pin that came with an earlier call is seen beside the window that still shows it."""

    def beside(self, clock, *, index):
        distance = clock.position[..., None] - torch.arange(self.pins)
        came_before = distance > index[:, None]
        return torch.where(came_before, distance > 0, super().beside(clock, index=index))


class DetachesTheMemory(Recurrent):
    """Logits are right; credit stops at every call, wherever the caller happened to cut."""

    def remember(self, position, hidden):
        return super().remember(position, hidden.detach())


class NoCausalMask(Window):
    def is_past(self, distance: Tensor) -> Tensor:
        return distance >= -2


class SortsTheCall(Window):
    """Sorts the call by token and cuts it into fours, as published hashing does: a later token moves earlier ones."""

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        self.four = tokens.argsort(dim=1, stable=True).argsort(dim=1) // 4
        return super().forward(tokens, memory, starts=starts, lengths=lengths)

    def sees(self, distance, clock, *, index):
        apart = self.four[:, :, None] != self.four[:, None]
        return super().sees(distance, clock, index=index) & ~F.pad(apart, (distance.shape[1] - clock.time, 0))


class CentredOnTheChunk(Recurrent):
    """Statistics over the chunk tell a token what comes later."""

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        logits, memory = super().forward(tokens, memory, starts=starts, lengths=lengths)
        return logits - logits.mean(dim=1, keepdim=True), memory


class GrowingMemory(Window):
    """The ring begins empty and grows until it is full."""

    def init_memory(self, lanes: int) -> WindowMemory:
        full = super().init_memory(lanes)
        return WindowMemory(position=full.position, ring=full.ring[:, :0].contiguous())

    def newest(self, ring, line, clock):
        return line[:, -self.capacity :].contiguous()


class ForgetsItsType(Recurrent):
    """A memory that becomes float32 in a float64 model (or float32 under autocast)."""

    def remember(self, position, hidden):
        return super().remember(position, hidden.float())

    def step(self, x, hidden, *, position, index):
        return super().step(x, hidden.to(x.dtype), position=position, index=index)


class KeepsAView(Window):
    """The ring is a view of the line: other strides after the first call, and the whole line stays alive."""

    def newest(self, ring, line, clock):
        return super().newest(ring, line, clock).transpose(1, 2).contiguous().transpose(1, 2)


class LanesLast(Recurrent):
    def init_memory(self, lanes: int) -> StateMemory:
        new = super().init_memory(lanes)
        return StateMemory(position=new.position, hidden=new.hidden.t().contiguous())


class SharedLeaves(Recurrent):
    """Two leaves made from one tensor of zeros: no file can hold them, and a write to one is a write to both."""

    def init_memory(self, lanes: int):
        new = super().init_memory(lanes)
        return TwoStates(position=new.position, hidden=new.hidden, cell=new.hidden)

    def remember(self, position, hidden):
        return TwoStates(position=position, hidden=hidden, cell=hidden.clone())


@memory_type
class TwoStates(Memory):
    position: Tensor
    hidden: Tensor
    cell: Tensor


class NoDocumentBoundary(Window):
    """The mask minds the future and the window, and forgets that documents begin."""

    def sees(self, distance, clock, *, index):
        held = torch.minimum(clock.before, torch.tensor(self.capacity))
        reach = (self.into_segment(clock, index) + self.before)[..., None]
        return self.is_past(distance) & (distance <= torch.minimum(reach, held[:, None, None] + index[:, None]))


class NoReset(Recurrent):
    """A new lane is new; a document that begins later inherits the state of the one before."""

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        return super().forward(tokens, memory, starts=None, lengths=lengths)


class PinsOfAnotherDocument(Pinned):
    """What is pinned once stays pinned, when the next document begins too."""

    def fills(self, clock, *, index):
        return super().fills(clock, index=index) & (torch.arange(self.pins) >= self.seen[:, None])

    def pins_seen(self, pins, x, clock):
        self.seen = clock.position[:, 0]
        return super().pins_seen(pins, x, clock)


class MeanOverLanes(Recurrent):
    def step(self, x, hidden, *, position, index):
        return super().step(x, hidden + 0.1 * hidden.mean(dim=0), position=position, index=index)


class NanToOtherLanes(Recurrent):
    """Adds zero times the other lanes: invisible until one of them is not a number."""

    def step(self, x, hidden, *, position, index):
        return super().step(x, hidden + 0 * hidden.sum(dim=0), position=position, index=index)


class PaddingWritten(Window):
    def newest(self, ring, line, clock):
        return line[:, -self.capacity :].contiguous()


class PaddingAdvances(Recurrent):
    def moves(self, real: Tensor) -> Tensor:
        return torch.ones_like(real)


class TidiesIdleLanes(Window):
    """Wipes what an earlier document left in an idle lane: harmless to logits, but the lane's bytes changed."""

    def newest(self, ring, line, clock):
        moved = super().newest(ring, line, clock)
        idle = torch.zeros(len(line), dtype=torch.bool) if clock.lengths is None else clock.lengths == 0
        return torch.where(idle[:, None, None], self.cleaned(ring, clock), moved)


class WritesInPlace(Window):
    """Moves the ring it was given, as a decoding loop might to save a copy."""

    def remember(self, memory, line, clock):
        after = super().remember(memory, line, clock)
        with torch.no_grad():
            memory.ring.copy_(after.ring)
        return after


class WritesInPlaceWhenDecoding(Window):
    def remember(self, memory, line, clock):
        after = super().remember(memory, line, clock)
        if not torch.is_grad_enabled():
            memory.ring.copy_(after.ring)
        return after


class TrustsEmptySlots(Window):
    """Empty slots get weight zero, and zero times NaN is NaN."""

    def cleaned(self, ring, clock):
        return ring


class NewLaneKeepsItsState(Recurrent):
    """Position 0 is not looked at: the state of a new lane counts."""

    def is_new(self, position: Tensor) -> Tensor:
        return torch.zeros_like(position, dtype=torch.bool)


@memory_type
class ForgetfulMemory(Memory):
    """Saves its numbers and loses where they stand."""

    position: Tensor
    hidden: Tensor

    def save(self, path) -> None:
        type(self)(position=torch.ones_like(self.position), hidden=self.hidden).made_by(self.maker).save_all(path)

    def save_all(self, path) -> None:
        super().save(path)


class SavesNoPosition(Blocks):
    def init_memory(self, lanes: int):
        return ForgetfulMemory(**super().init_memory(lanes).flatten())

    def remember(self, position, hidden):
        return ForgetfulMemory(position=position, hidden=hidden)


@memory_type
class LeafyMemory(Memory):
    """Has a leaf that `flatten` does not know."""

    position: Tensor
    hidden: Tensor
    trace: Tensor | None = None

    def flatten(self):
        return {"position": self.position, "hidden": self.hidden}


class DropsALeaf(Recurrent):
    def init_memory(self, lanes: int):
        new = super().init_memory(lanes)
        return LeafyMemory(**new.flatten(), trace=torch.zeros_like(new.hidden))

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        logits, after = super().forward(tokens, memory, starts=starts, lengths=lengths)
        trace = torch.zeros_like(after.hidden) if memory is None or memory.trace is None else memory.trace
        return logits + self.out(trace)[:, None], LeafyMemory(**after.flatten(), trace=trace + after.hidden)


class RemembersInTheModule(Recurrent):
    """Keeps what it read in the module: one conversation a model, and no file has it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(1, WIDTH)

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        logits, memory = super().forward(tokens, memory, starts=starts, lengths=lengths)
        logits = logits + self.out(self.last.to(logits.dtype))[:, None]
        self.last = memory.hidden[:1].detach()
        return logits, memory


class BranchesShareALane(Recurrent):
    """Tells lanes apart by what they hold: two branches of one past become one."""

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        logits, after = super().forward(tokens, memory, starts=starts, lengths=lengths)
        if memory is None or bool((memory.position == 0).any()):
            return logits, after
        same = (memory.hidden[:, None] == memory.hidden).all(dim=-1).to(logits.dtype)
        first = same.argmax(dim=1)
        return logits[first], after.select(first)


class UnusedParameter(Recurrent):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(WIDTH, WIDTH)


class Noisy(Recurrent):
    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        logits, memory = super().forward(tokens, memory, starts=starts, lengths=lengths)
        return logits + 1e-9 * torch.randn_like(logits), memory


class KeepsAnInferenceTensor(Recurrent):
    """A table made while generating cannot be used in training any more."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.empty(0)

    def step(self, x, hidden, *, position, index):
        if len(self.table) == 0:
            self.table = torch.ones(WIDTH, dtype=x.dtype)
        return super().step(x * self.table, hidden, position=position, index=index)


class FoursOnly(Recurrent):
    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        if tokens.shape[1] % 4:
            raise ValueError(f"chunks must be a multiple of 4, got {tokens.shape[1]}")
        return super().forward(tokens, memory, starts=starts, lengths=lengths)


class CutsToFours(Recurrent):
    """Answers for any length, and quietly leaves out what does not fill a block of four."""

    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        time = tokens.shape[1]
        logits, memory = super().forward(tokens, memory, starts=starts, lengths=lengths)
        whole = max(1, time // 4 * 4)
        return torch.cat([logits[:, :whole], torch.zeros_like(logits[:, whole:])], dim=1), memory


class NotAMemory(Recurrent):
    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        logits, memory = super().forward(tokens, memory, starts=starts, lengths=lengths)
        return logits, (memory.position, memory.hidden)


class TheLastLogitsOnly(Recurrent):
    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        logits, memory = super().forward(tokens, memory, starts=starts, lengths=lengths)
        return logits[:, -1:], memory


MUTANTS = [
    Mutant("split-invariant", SegmentsFromTheCall),
    Mutant("split-invariant", RingOneSlotShort),
    Mutant("split-invariant", RingForgetsItsOldest),
    Mutant("split-invariant", BlocksFromTheCall),
    Mutant("split-invariant", PinsTheCall),
    Mutant("split-invariant", PinCountedTwice),
    Mutant("split-invariant", DetachesTheMemory),
    Mutant("split-invariant", TheLastLogitsOnly),
    Mutant("causal", NoCausalMask),
    Mutant("causal", SortsTheCall),
    Mutant("causal", CentredOnTheChunk),
    Mutant("constant", GrowingMemory),
    Mutant("constant", ForgetsItsType),
    Mutant("constant", KeepsAView),
    Mutant("constant", LanesLast),
    Mutant("constant", SharedLeaves),
    Mutant("constant", NotAMemory),
    Mutant("isolated", NoDocumentBoundary),
    Mutant("isolated", NoReset),
    Mutant("isolated", PinsOfAnotherDocument),
    Mutant("isolated", MeanOverLanes),
    Mutant("isolated", NanToOtherLanes),
    Mutant("idle means idle", PaddingWritten),
    Mutant("idle means idle", PaddingAdvances),
    Mutant("idle means idle", TidiesIdleLanes),
    Mutant("pure", WritesInPlace),
    Mutant("pure", WritesInPlaceWhenDecoding),
    Mutant("inert when new", TrustsEmptySlots),
    Mutant("inert when new", NewLaneKeepsItsState),
    Mutant("round trip", SavesNoPosition),
    Mutant("round trip", DropsALeaf),
    Mutant("round trip", RemembersInTheModule),
    Mutant("round trip", BranchesShareALane),
    Mutant("alive", UnusedParameter),
    Mutant("alive", Noisy),
    Mutant("alive", KeepsAnInferenceTensor),
    Mutant("any length", FoursOnly),
    Mutant("any length", CutsToFours),
]
