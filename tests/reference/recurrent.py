"""Recurrent cells, one token of one lane at a time, gate by gate."""

from collections.abc import Mapping

import torch
from torch import Tensor


def gru_one_by_one(x: Tensor, h: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Hidden states ``[t, d]`` of a GRU layer over ``[t, k]``; the reset gate acts after the product."""
    w_r, w_z, w_n = weights["w_ih"].chunk(3)
    u_r, u_z, u_n = weights["w_hh"].chunk(3)
    b_r, b_z, b_n = weights["b_ih"].chunk(3)
    c_r, c_z, c_n = weights["b_hh"].chunk(3)
    out = []
    for x_t in x:
        r = torch.sigmoid(w_r @ x_t + b_r + u_r @ h + c_r)
        z = torch.sigmoid(w_z @ x_t + b_z + u_z @ h + c_z)
        n = torch.tanh(w_n @ x_t + b_n + r * (u_n @ h + c_n))
        h = (1 - z) * n + z * h
        out.append(h)
    return torch.stack(out)


def lstm_one_by_one(x: Tensor, h: Tensor, c: Tensor, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Hidden states ``[t, d]`` of an LSTM layer over ``[t, k]``, and its last cell."""
    w_i, w_f, w_g, w_o = weights["w_ih"].chunk(4)
    u_i, u_f, u_g, u_o = weights["w_hh"].chunk(4)
    b_i, b_f, b_g, b_o = (weights["b_ih"] + weights["b_hh"]).chunk(4)
    out = []
    for x_t in x:
        i = torch.sigmoid(w_i @ x_t + u_i @ h + b_i)
        f = torch.sigmoid(w_f @ x_t + u_f @ h + b_f)
        g = torch.tanh(w_g @ x_t + u_g @ h + b_g)
        o = torch.sigmoid(w_o @ x_t + u_o @ h + b_o)
        c = f * c + i * g
        h = o * torch.tanh(c)
        out.append(h)
    return torch.stack(out), c
