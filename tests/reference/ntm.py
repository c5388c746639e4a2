"""Neural Turing Machine, head by head and slot by slot, from the equations of Graves et al. (2014)."""

import torch
from torch import Tensor

from everlong.models.ntm import NTM
from tests.reference.machine import by_content, machine_one_by_one

TINY = 1e-16


def shifted(weights: Tensor, kernel: Tensor) -> Tensor:
    """Equation 8: circular convolution with shifts of -1, 0 and 1."""
    slots = len(weights)
    return torch.stack([sum(weights[(i - o) % slots] * kernel[o + 1] for o in (-1, 0, 1)) for i in range(slots)])


class Heads:
    """The matrix and where every head stands."""

    def __init__(self, model: NTM) -> None:
        c = model.config
        self.reads, self.writes, self.width = c.n_reads, c.n_writes, c.slot_size
        self.matrix = torch.full((c.memory_slots, c.slot_size), 1e-6).to(model.first_weights)
        self.weights = [torch.softmax(w, dim=0) for w in model.first_weights]

    def __call__(self, told: Tensor) -> Tensor:
        heads, writes, width = self.reads + self.writes, self.writes, self.width
        sizes = [heads * width, writes * width, writes * width, heads, heads, heads, heads * 3]
        keys, additions, erasures, gates, strengths, powers, shifts = told.split(sizes)
        for h in range(heads):
            strength = torch.log1p(torch.exp(strengths[h]))
            content = by_content(self.matrix, torch.tanh(keys[h * width : (h + 1) * width]), strength)
            gate = torch.sigmoid(gates[h])
            gated = gate * content + (1 - gate) * self.weights[h]
            moved = shifted(gated, torch.softmax(shifts[h * 3 : h * 3 + 3], dim=0))
            power = 1 + torch.log1p(torch.exp(powers[h]))
            self.weights[h] = (moved + TINY) ** power / ((moved + TINY) ** power).sum()
        matrix = self.matrix
        for n in range(writes):
            erase = torch.sigmoid(erasures[n * width : (n + 1) * width])
            matrix = matrix * (1 - torch.outer(self.weights[self.reads + n], erase))
        for n in range(writes):
            matrix = matrix + torch.outer(
                self.weights[self.reads + n], torch.tanh(additions[n * width : (n + 1) * width])
            )
        self.matrix = matrix
        return torch.cat([self.weights[h] @ matrix for h in range(self.reads)])


def ntm_one_by_one(model: NTM, x: Tensor) -> tuple[Tensor, Heads]:
    """``[h_t; r_t]`` of one lane, and its heads after it."""
    heads = Heads(model)
    return machine_one_by_one(model, x, model.first_read, heads), heads
