import dataclasses

import pytest
import torch

from everlong.clock import Clock
from everlong.data import Chunk
from everlong.models.base import Advance, AnyLanguageModel
from everlong.models.gru import GRU, GRUConfig, GRUMemory
from everlong.shapes import IGNORE, Tokens
from everlong.train.stream_loss import StreamLoss
from tests.unit.train.conftest import tiny


class WithAux(GRU):
    """A GRU whose memory has a loss of its own."""

    def advance(self, tokens: Tokens, memory: GRUMemory, clock: Clock) -> Advance[GRUMemory]:
        step = super().advance(tokens, memory, clock)
        return dataclasses.replace(step, aux={"size": step.hidden.square().mean()})


def chunks(count: int, *, lanes: int = 2, time: int = 4) -> list[Chunk]:
    tokens = torch.randint(0, 256, (lanes, count * time + 1))
    made: list[Chunk] = []
    for n in range(count):
        here = slice(n * time, (n + 1) * time)
        starts = torch.zeros(lanes, time, dtype=torch.bool)
        starts[:, 0] = n == 0
        targets = tokens[:, 1:][:, here].clone()
        targets[0, -1] = IGNORE
        lengths = torch.full((lanes,), time)
        made.append(Chunk(tokens=tokens[:, here].contiguous(), targets=targets, starts=starts, lengths=lengths))
    return made


def whole(parts: list[Chunk]) -> Chunk:
    fields = {name: torch.cat([getattr(p, name) for p in parts], dim=1) for name in ("tokens", "targets", "starts")}
    return Chunk(**fields, lengths=sum(p.lengths for p in parts))


def gradients(model: AnyLanguageModel) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("architecture", ["gru", "lstm", "transformer"])
def test_a_window_of_chunks_is_one_long_chunk(architecture: str) -> None:
    # Transformer-XL is not here: it does not send gradients into a memory, by definition.
    model = tiny(architecture, dropout=0.0).double()
    stream, parts = StreamLoss(model, precision="float32"), chunks(3)
    memory = model.init_memory(2)
    summed, _, _ = stream(parts, memory)
    summed.backward()
    found = gradients(model)
    model.zero_grad()
    expected, _, _ = stream([whole(parts)], memory)
    expected.backward()
    torch.testing.assert_close(summed, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(found, gradients(model), rtol=1e-9, atol=1e-12)
    assert sum(part.n_targets for part in parts) == whole(parts).n_targets == 24 - 3
    assert sum(part.n_tokens for part in parts) == whole(parts).n_tokens == 24


def test_gradients_stop_at_the_edge_of_a_window() -> None:
    model = tiny("lstm")
    _, memory, _ = StreamLoss(model, precision="float32")(chunks(1), model.init_memory(2))
    assert not any(leaf.requires_grad for leaf in memory.flatten().values())


def test_losses_of_the_memory_are_added_up() -> None:
    model = WithAux(GRUConfig(d_model=8, n_layers=1))
    stream, parts = StreamLoss(model, precision="float32"), chunks(2)
    _, memory, first = stream(parts[:1], model.init_memory(2))
    _, _, second = stream(parts[1:], memory)
    _, _, both = stream(parts, model.init_memory(2))
    torch.testing.assert_close(both["size"], first["size"] + second["size"])


@pytest.mark.parametrize("architecture", ["gru", "lstm", "transformer", "transformer-xl"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_leaves_memory_and_loss_in_float32(architecture: str, precision: str) -> None:
    model = tiny(architecture)
    before = model.init_memory(2)
    summed, memory, _ = StreamLoss(model, precision=precision)(chunks(2), before)
    summed.backward()
    assert summed.dtype == torch.float32
    for name, leaf in memory.flatten().items():
        assert leaf.dtype == before.flatten()[name].dtype
    assert torch.isfinite(gradients(model)).all()
