"""Differentiable Neural Computer, slot by slot, from the equations of Graves et al. (2016) and of the three repairs."""

import torch
from torch import Tensor

from everlong.models.dnc import DNC
from tests.reference.machine import EPSILON, by_content, machine_one_by_one, oneplus

TINY = 1e-16


def allocation(usage: Tensor) -> Tensor:
    """Each slot's share of a write: what it is free, of what the less used ones leave."""
    # Usages that differ by less than 2^-16 are equal, and then the first slot comes first.
    order = sorted(range(len(usage)), key=lambda i: (round(usage[i].item() * 2**16), i))
    usage = EPSILON + (1 - EPSILON) * usage
    shares: list[Tensor] = [usage[0]] * len(usage)
    left = torch.ones_like(usage[0])
    for i in order:
        shares[i] = (1 - usage[i]) * left
        left = left * usage[i]
    return torch.stack(shares)


def new_links(links: Tensor, precedence: Tensor, written: Tensor) -> Tensor:
    """Entry by entry; `precedence` is that of the step before."""
    slots = len(written)
    zero = torch.zeros_like(written[0])
    return torch.stack(
        [
            torch.stack(
                [
                    zero if i == j else (1 - written[i] - written[j]) * links[i, j] + written[i] * precedence[j]
                    for j in range(slots)
                ]
            )
            for i in range(slots)
        ]
    )


def sharp(weights: Tensor, power: Tensor) -> Tensor:
    return (weights + TINY) ** power / ((weights + TINY) ** power).sum()


class Computer:
    """Matrix, usage, precedence and links, and where was read and written last."""

    def __init__(self, model: DNC) -> None:
        self.c = model.config
        slots = self.c.memory_slots
        new = model.interface.weight.new_zeros
        self.matrix, self.links = new(slots, self.c.slot_size), new(slots, slots)
        self.usage, self.precedence, self.writing = new(slots), new(slots), new(slots)
        self.reading = [new(slots) for _ in range(self.c.n_reads)]

    def __call__(self, told: Tensor) -> Tensor:
        c, reads, width = self.c, self.c.n_reads, self.c.slot_size
        keys = (1 + reads) * width
        sizes = [keys, width, 1 + reads, 2 * reads * c.sharpen_links, width, reads, 1, 1, keys * c.mask_keys, 3 * reads]
        key, value, strength, power, erase, free, by_need, by_will, mask, mode = told.split(sizes)
        free, erase = torch.sigmoid(free), torch.sigmoid(erase)

        def found(matrix: Tensor, n: int) -> Tensor:
            own = slice(n * width, (n + 1) * width)
            return by_content(matrix, key[own], oneplus(strength[n]), torch.sigmoid(mask[own]) if c.mask_keys else 1.0)

        retention = torch.ones_like(self.usage)
        for r in range(reads):
            retention = retention * (1 - free[r] * self.reading[r])
        self.usage = (self.usage + self.writing - self.usage * self.writing) * retention
        gate = torch.sigmoid(by_need)
        mixed = gate * allocation(self.usage) + (1 - gate) * found(self.matrix, 0)
        self.writing = torch.sigmoid(by_will) * mixed
        base = self.matrix * retention[:, None] if c.deallocate else self.matrix
        self.matrix = base * (1 - torch.outer(self.writing, erase)) + torch.outer(self.writing, value)
        self.links = new_links(self.links, self.precedence, self.writing)
        self.precedence = (1 - self.writing.sum()) * self.precedence + self.writing
        for r in range(reads):
            on, back = self.links @ self.reading[r], self.links.T @ self.reading[r]
            if c.sharpen_links:
                back, on = sharp(back, oneplus(power[r])), sharp(on, oneplus(power[reads + r]))
            pi = torch.softmax(mode[3 * r : 3 * r + 3], dim=0)
            self.reading[r] = pi[0] * back + pi[1] * found(self.matrix, 1 + r) + pi[2] * on
        return torch.cat([w @ self.matrix for w in self.reading])


def dnc_one_by_one(model: DNC, x: Tensor) -> tuple[Tensor, Computer]:
    """``[h_t; r_t]`` of one lane, and its memory after it."""
    computer = Computer(model)
    return machine_one_by_one(model, x, x.new_zeros(computer.c.n_reads * computer.c.slot_size), computer), computer
