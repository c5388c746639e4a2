"""What the memory-augmented networks share: a controller, an interface, and reads that come back to both.

    h_t = controller([x_t; r_(t-1)], h_(t-1))       r_t, memory_t = access(interface(h_t), memory_(t-1))
    y_t = W [h_t; r_t]                              what was just read answers now, and is seen at the next step

Each architecture brings its access (what a step does with the matrix), its memory, and how a document begins. A chunk
is one scan (everlong.nn.machine), cut where documents begin or lanes end. They read tokens, or vectors if `input_size`
is set, and answer with logits, or vectors if `output_size` is set.
"""

from abc import abstractmethod
from typing import Any, Literal, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.heads import LinearHead, VectorHead
from everlong.memory import Memory
from everlong.models.base import Advance, LanguageModel, VectorConfig, run_layer
from everlong.nn.controller import Layer, LSTMLayer, TanhLayer
from everlong.nn.machine import Access, Leaves, Machine, MachineState, Weights, run_machine
from everlong.nn.scan import Known, State, own_precision, scan
from everlong.shapes import Hidden, Tokens, Vectors

M = TypeVar("M", bound=Memory)

FORGET_BIAS = 1.0
PIECE = 16
"""Steps whose inner values are kept at once where activations are computed again."""


class MachineConfig(VectorConfig):
    """Sizes of a controller and of the matrix it reads and writes."""

    d_model: int = Field(default=256, ge=1)
    n_layers: int = Field(default=1, ge=1)
    """Layers of the controller."""
    memory_slots: int = Field(default=128, ge=2)
    """Rows of the matrix; among fewer than two there is nothing to choose."""
    slot_size: int = Field(default=32, ge=1)
    """Numbers in a row."""
    n_reads: int = Field(default=4, ge=1)
    """Vectors read in a step."""
    controller: Literal["lstm", "feed-forward"] = "lstm"


class Touched(NamedTuple):
    """Where a step wrote and read: weights of each head over the slots. And how much each slot was in use after it."""

    writes: Float[Tensor, "b writes s"]
    reads: Float[Tensor, "b reads s"]
    usage: Float[Tensor, "b s"] | None
    """``None`` where no account is kept of it."""


class MachineModel(LanguageModel[M]):
    """A controller with an external memory."""

    def __init__(self, config: MachineConfig, access: Access) -> None:
        super().__init__(config)
        d, reads = config.d_model, config.n_reads * config.slot_size
        layer: Layer = LSTMLayer() if config.controller == "lstm" else TanhLayer()
        self.arithmetic = Machine(layers=(layer,) * config.n_layers, access=access)
        self.embedding = nn.Linear(config.input_size, d) if config.input_size else nn.Embedding(config.vocab_size, d)
        self.from_input = nn.Linear(d, layer.gates * d)
        own = d if layer.is_recurrent else 0
        below = (reads, *(d for _ in range(config.n_layers - 1)))
        self.rows = nn.ParameterList(nn.Parameter(torch.empty(layer.gates * d, width + own)) for width in below)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(layer.gates * d)) for _ in below[1:])
        self.interface = nn.Linear(d, access.interface.size)
        self.answer = nn.Linear(d + reads, d)
        answered = nn.Embedding(config.vocab_size, d)
        self.head = VectorHead(d, config.output_size) if config.output_size else LinearHead(answered, tied=False)
        self._start_weights()

    @torch.no_grad()
    def _start_weights(self) -> None:
        """Layers see unit variance in and out; forget gates begin open."""
        d = self.config.d_model
        for weight in (self.from_input.weight, *self.rows):
            nn.init.xavier_uniform_(weight)
        for bias in (self.from_input.bias, *self.biases):
            bias.zero_()
            if self.config.controller == "lstm":
                bias[2 * d : 3 * d] = FORGET_BIAS

    @property
    def config(self) -> MachineConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    @abstractmethod
    def leaves_of(self, memory: M) -> Leaves:
        """The tensors that the access works on, in its order."""

    @abstractmethod
    def fresh(self, lanes: int) -> MachineState:
        """What every document begins with."""

    @abstractmethod
    def remember(self, state: MachineState, clock: Clock) -> M:
        """The memory that holds a state."""

    @abstractmethod
    def touched(self, before: M, after: M) -> Touched:
        """Where the one step between two memories wrote and read."""

    def weights(self) -> Weights:
        """Everything that multiplies inside a step."""
        return Weights(tuple(self.rows), tuple(self.biases), self.interface.weight, self.interface.bias)

    def advance(self, tokens: Tokens | Vectors, memory: M, clock: Clock) -> Advance[M]:
        """Read a chunk: answers, and the state after it."""
        x = F.dropout(self.embedding(tokens), self.config.dropout, self.training)
        before: Any = memory
        state = (before.hidden, before.cell, before.read, *self.leaves_of(memory))
        with own_precision(x):
            known = self.from_input(x.to(self.dtype))
            fresh = self.fresh(memory.lanes)
            new = (fresh.hidden, fresh.cell, fresh.read, *fresh.leaves)
            answers, after = scan(self._run, known, state, clock=clock, new=new)
        hidden = F.dropout(self.answer(answers), self.config.dropout, self.training)
        done = MachineState(after[0], after[1], after[2], after[3:])
        return Advance(hidden=hidden, memory=self.remember(done, clock), aux={})

    def empty(self, lanes: int, *shape: int) -> Tensor:
        """Zeros of the weights' type."""
        return torch.zeros(lanes, *shape, dtype=self.dtype, device=self.device)

    def silent(self, lanes: int, leaves: Leaves) -> MachineState:
        """A controller that has said nothing and read nothing, beside these leaves."""
        layers = self.config.n_layers if self.config.controller == "lstm" else 0
        hidden, cell = (self.empty(lanes, layers, self.config.d_model) for _ in range(2))
        return MachineState(hidden, cell, self.empty(lanes, self.config.n_reads * self.config.slot_size), leaves)

    def _run(self, known: Known, state: State) -> tuple[Hidden, State]:
        pieces: list[Tensor] = []
        checkpoint = self.recompute and self.training and torch.is_grad_enabled()
        for piece in known.split(PIECE if checkpoint else known.shape[1], dim=1):
            answer, state = run_layer(self._run_piece, (piece, state), checkpoint=checkpoint)
            pieces.append(answer)
        return torch.cat(pieces, dim=1), state

    def _run_piece(self, known: Known, state: State) -> tuple[Hidden, State]:
        before = MachineState(state[0], state[1], state[2], state[3:])
        x = known.transpose(0, 1).contiguous()
        hidden, read, after = run_machine(self.arithmetic, x, self.weights(), before)
        answers = torch.cat([hidden, read], dim=-1).transpose(0, 1)
        return answers, (after.hidden, after.cell, after.read, *after.leaves)
