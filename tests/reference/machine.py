"""A controller over what was read before, one step of one lane at a time, under plain autograd."""

from collections.abc import Callable

import torch
from torch import Tensor

from everlong.models.machine import MachineModel

Read = Callable[[Tensor], Tensor]
"""Interface vector in; vectors read, one after the other, out. It keeps its memory to itself."""

CLIP, EPSILON = 20.0, 1e-6


def machine_one_by_one(model: MachineModel, x: Tensor, first_read: Tensor, access: Read) -> Tensor:
    """``[h_t; r_t]`` for embedded inputs ``[t d]`` of a lane that begins."""
    d, lstm = model.config.d_model, model.config.controller == "lstm"
    states = [(x.new_zeros(d), x.new_zeros(d)) for _ in model.rows]
    read, answers = first_read, []
    for x_t in x:
        out = read
        for n, rows in enumerate(model.rows):
            known = model.from_input(x_t) if n == 0 else model.biases[n - 1]
            if lstm:
                h, c = states[n]
                g, i, f, o = (known + rows @ torch.cat([out, h])).chunk(4)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                out = torch.sigmoid(o) * torch.tanh(c)
                states[n] = (out, c)
            else:
                out = torch.tanh(known + rows @ out)
        told = model.weights().interface @ out + model.weights().interface_bias
        read = access(torch.clamp(told, -CLIP, CLIP))
        answers.append(torch.cat([out, read]))
    return torch.stack(answers)


def cosine(key: Tensor, row: Tensor) -> Tensor:
    """Of two vectors, either of which may be zero."""
    return (key @ row) / torch.sqrt((key @ key + EPSILON) * (row @ row + EPSILON))


def by_content(matrix: Tensor, key: Tensor, strength: Tensor | float, mask: Tensor | float = 1.0) -> Tensor:
    """Softmax over rows of how alike they are to a key, where the mask looks."""
    return torch.softmax(torch.stack([strength * cosine(key * mask, row * mask) for row in matrix]), dim=0)


def oneplus(x: Tensor) -> Tensor:
    """At least 1."""
    return 1 + torch.log1p(torch.exp(x))
