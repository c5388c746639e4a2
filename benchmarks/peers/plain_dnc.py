"""A DNC as one would write it in an afternoon: the equations, for all lanes at once, one step after the other.

It has the weights of Everlong's own and computes the same numbers; autograd records every operation of every step.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from everlong.models.dnc import DNC, DNCConfig
from everlong.nn.content import EPSILON
from everlong.nn.interface import CLIP

from ..case import Case
from ..contestant import Contestant
from .ours import contestant_of, machine_config

State = tuple[Tensor, ...]


class PlainDNC(DNC):
    """One LSTM layer and the published equations."""

    def _run_piece(self, known: Tensor, state: State) -> tuple[Tensor, State]:
        h, c, read, memory = state[0][:, 0], state[1][:, 0], state[2], state[3:9]
        answers = []
        for x in known.unbind(1):
            g, i, f, o = (x + F.linear(torch.cat([read, h], dim=1), self.rows[0])).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            read, memory = self.access(self.interface(h).clamp(-CLIP, CLIP), memory)
            answers.append(torch.cat([h, read], dim=1))
        return torch.stack(answers, dim=1), (h[:, None], c[:, None], read, *memory, *state[9:])

    def access(self, told: Tensor, memory: State) -> tuple[Tensor, State]:
        """Free, allocate, write, link, read."""
        matrix, usage, precedence, links, reading, writing = memory
        b, r, w = len(told), self.config.n_reads, self.config.slot_size
        keys, value, strength, erase, free, by_need, by_will, modes = told.split(
            [(1 + r) * w, w, 1 + r, w, r, 1, 1, 3 * r], dim=1
        )
        keys, strength = keys.view(b, 1 + r, w), 1 + F.softplus(strength)
        modes = modes.view(b, r, 3).softmax(dim=2)
        retention = (1 - torch.sigmoid(free)[:, :, None] * reading).prod(dim=1)
        usage = (usage + writing - usage * writing) * retention
        gate, content = torch.sigmoid(by_need), by_content(matrix, keys[:, :1], strength[:, :1])[:, 0]
        writing = torch.sigmoid(by_will) * (gate * allocation(usage) + (1 - gate) * content)
        matrix = matrix * (1 - writing[:, :, None] * torch.sigmoid(erase)[:, None])
        matrix = matrix + writing[:, :, None] * value[:, None]
        kept = 1 - writing[:, :, None] - writing[:, None]
        links = (kept * links + writing[:, :, None] * precedence[:, None]) * (1 - torch.eye(links.shape[1]))
        precedence = (1 - writing.sum(dim=1, keepdim=True)) * precedence + writing
        back, on = reading @ links, reading @ links.mT
        found = by_content(matrix, keys[:, 1:], strength[:, 1:])
        reading = modes[:, :, :1] * back + modes[:, :, 1:2] * found + modes[:, :, 2:] * on
        return (reading @ matrix).flatten(1), (matrix, usage, precedence, links, reading, writing)


def by_content(matrix: Tensor, keys: Tensor, strength: Tensor) -> Tensor:
    """Softmax over rows of how alike they are to each key."""
    lengths = (keys.square().sum(2) + EPSILON)[:, :, None] * (matrix.square().sum(2) + EPSILON)[:, None]
    return (strength[:, :, None] * (keys @ matrix.mT) / lengths.sqrt()).softmax(dim=2)


def allocation(usage: Tensor) -> Tensor:
    """Each slot's share of a write: what it is free, of what the less used ones leave."""
    order = torch.round(usage.detach() * 2**16).sort(dim=1, stable=True).indices
    ordered = (EPSILON + (1 - EPSILON) * usage).gather(1, order)
    ahead = torch.cat([torch.ones_like(usage[:, :1]), ordered[:, :-1]], dim=1).cumprod(dim=1)
    return torch.zeros_like(usage).scatter(1, order, (1 - ordered) * ahead)


def build(case: Case) -> Contestant:
    """The same sizes as ours."""
    return contestant_of(PlainDNC(DNCConfig(**machine_config(case))), case)
