"""Least-recently-used access, head by head, from the equations of Santoro et al. (2016)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from everlong.models.mann import MANN
from tests.reference.machine import by_content, machine_one_by_one


def the_least_used(usage: Tensor, count: int) -> Tensor:
    """1 at `count` slots; usages within 2^-16 are equal, and then the first comes first."""
    order = sorted(range(len(usage)), key=lambda i: (round(usage[i].item() * 2**16), i))
    return torch.tensor([1.0 if i in order[:count] else 0.0 for i in range(len(usage))]).to(usage)


class Slots:
    """Matrix, usage, and where was read and written last."""

    def __init__(self, model: MANN) -> None:
        c = model.config
        self.reads, self.width, self.decay, self.sharp = c.n_reads, c.slot_size, c.usage_decay, c.strengths
        new = model.alpha.new_zeros
        self.matrix, self.usage = new(c.memory_slots, c.slot_size), new(c.memory_slots)
        self.reading = [new(c.memory_slots) for _ in range(c.n_reads)]
        self.writing = [new(c.memory_slots) for _ in range(c.n_reads)]

    def __call__(self, told: Tensor) -> Tensor:
        keys, rest = told[: self.reads * self.width], told[self.reads * self.width : -1]
        keys, alpha = torch.tanh(keys).view(self.reads, self.width), torch.sigmoid(told[-1])
        strengths = 1 + F.softplus(rest) if self.sharp else rest.new_ones(self.reads)
        unused = the_least_used(self.usage, self.reads)
        self.writing = writing = [alpha * w + (1 - alpha) * unused for w in self.reading]
        matrix = self.matrix * (1 - unused)[:, None]
        for w, key in zip(writing, keys, strict=True):
            matrix = matrix + torch.outer(w, key)
        self.reading = [by_content(matrix, key, strength) for key, strength in zip(keys, strengths, strict=True)]
        self.usage = (self.decay * self.usage + sum(self.reading) + sum(writing)).detach()
        self.matrix = matrix
        return torch.cat([w @ matrix for w in self.reading])


def mann_one_by_one(model: MANN, x: Tensor) -> tuple[Tensor, Slots]:
    """``[h_t; r_t]`` of one lane, and its memory after it."""
    slots = Slots(model)
    return machine_one_by_one(model, x, x.new_zeros(slots.reads * slots.width), slots), slots
