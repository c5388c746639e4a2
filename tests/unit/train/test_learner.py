from typing import Any

import pytest
import torch

from everlong.data import Chunk
from everlong.errors import ConfigError, RunError
from everlong.models.gru import GRUConfig
from everlong.train.distribution import World
from everlong.train.learner import Learner, clip_gradients
from everlong.train.memory_dropout import MemoryDropout
from everlong.train.stream_loss import StreamLoss
from tests.unit.train.conftest import settings, tiny
from tests.unit.train.test_stream_loss import WithAux, chunks, gradients, whole

NO_DROPOUT = MemoryDropout(rate=0.0, lanes=2, seed=0, world=World())


def test_accumulated_windows_weigh_every_token_alike() -> None:
    model = tiny("transformer-xl", dropout=0.0).double()
    parts = chunks(2)
    parts[0].targets[:, :3] = -100
    learner = Learner(StreamLoss(model, precision="float32"), settings(clip=0.0, lr=1e-9), World())
    found = learner.update([[parts[0]], [parts[1]]], model.init_memory(2), dropout=NO_DROPOUT, rate=0.0, step=0)
    accumulated = gradients(model)
    model.zero_grad()
    nll, memory, _ = model.token_losses(parts[0].tokens, parts[0].targets, None, starts=parts[0].starts)
    more, _, _ = model.token_losses(parts[1].tokens, parts[1].targets, memory.detach())
    mean = (nll.sum() + more.sum()) / int((whole(parts).targets != -100).sum())
    mean.backward()
    torch.testing.assert_close(accumulated, gradients(model), rtol=1e-9, atol=1e-14)
    assert found.loss == pytest.approx(mean.item(), rel=1e-12)
    assert found.gradient_norm == pytest.approx(float(gradients(model).norm()), rel=1e-9)


def test_losses_of_the_memory_are_averaged_over_chunks_and_learned_from() -> None:
    model = WithAux(GRUConfig(d_model=8, n_layers=1)).double()
    parts = chunks(4)
    learner = Learner(StreamLoss(model, precision="float32"), settings(clip=0.0, lr=1e-9), World())
    found = learner.update([parts[:2], parts[2:]], model.init_memory(2), dropout=NO_DROPOUT, rate=0.0, step=0)
    whole_gradient = gradients(model)
    model.zero_grad()
    memory, total, aux = model.init_memory(2), torch.zeros(()), torch.zeros(())
    for n, part in enumerate(parts):
        nll, memory, others = model.token_losses(part.tokens, part.targets, memory, starts=part.starts)
        total, aux = total + nll.sum(), aux + others["size"]
        memory = memory.detach() if n % 2 else memory
    (total / sum(int((p.targets != -100).sum()) for p in parts) + aux / 4).backward()
    torch.testing.assert_close(whole_gradient, gradients(model), rtol=1e-9, atol=1e-14)
    assert found.figures()["aux_size"] == pytest.approx(aux.item() / 4, rel=1e-9)


def test_a_window_without_targets_teaches_nothing() -> None:
    model = tiny()
    (part,) = chunks(1)
    part.targets[:] = -100
    learner = Learner(StreamLoss(model, precision="float32"), settings(), World())
    found = learner.update([[part]], model.init_memory(2), dropout=NO_DROPOUT, rate=0.1, step=0)
    assert found.loss == found.gradient_norm == 0.0


@pytest.mark.parametrize("limit", [0.0, 0.5, 1e9])
def test_gradients_are_scaled_down_to_the_limit(limit: float) -> None:
    model = tiny()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    norm = clip_gradients(model, limit=limit)
    after = float(gradients(model).norm())
    assert after == pytest.approx(0.5 if limit == 0.5 else norm, rel=1e-4)


def test_recompute_gives_the_same_update() -> None:
    digests: set[str] = set()
    for recompute in (False, True):
        torch.manual_seed(0)
        model = tiny("transformer-xl")
        learner = Learner(StreamLoss(model, precision="float32"), settings(recompute=recompute), World())
        assert model.recompute == recompute
        learner.update([chunks(2)], model.init_memory(2), dropout=NO_DROPOUT, rate=0.1, step=0)
        digests.add(model.weights_digest())
    assert len(digests) == 1


def test_a_loss_that_is_not_finite_names_step_and_remedy_and_spares_the_weights() -> None:
    model = tiny()
    with torch.no_grad():
        model.head.bias[0] = float("nan")  # pyright: ignore
    before = model.weights_digest()
    with pytest.raises(RunError, match=r"the loss is not a finite number at step 8\..*lower lr \(it is 0.001\)"):
        Learner(StreamLoss(model, precision="float32"), settings(), World()).update(
            [chunks(1)], model.init_memory(2), dropout=NO_DROPOUT, rate=0.1, step=7
        )
    assert model.weights_digest() == before


def test_a_gradient_that_is_not_finite_is_noticed_before_it_does_harm() -> None:
    model = tiny()
    model.embedding.weight.register_hook(lambda gradient: gradient * float("inf"))  # pyright: ignore
    before = model.weights_digest()
    with pytest.raises(RunError, match="the gradient is not a finite number at step 1"):
        Learner(StreamLoss(model, precision="float32"), settings(), World()).update(
            [chunks(1)], model.init_memory(2), dropout=NO_DROPOUT, rate=0.1, step=0
        )
    assert model.weights_digest() == before


def test_half_precision_leaves_out_a_step_whose_scaled_gradients_overflow() -> None:
    model = tiny("transformer")
    learner = Learner(StreamLoss(model, precision="float16"), settings(precision="float16"), World())
    learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 2.0**60})
    before = model.weights_digest()
    found = learner.update([chunks(1)], model.init_memory(2), dropout=NO_DROPOUT, rate=0.1, step=0)
    assert model.weights_digest() == before
    assert learner.scaler.get_scale() == 2.0**59
    learner.scaler.load_state_dict({**learner.scaler.state_dict(), "scale": 8.0})
    learner.update([chunks(1)], found.memory, dropout=NO_DROPOUT, rate=0.1, step=1)
    assert model.weights_digest() != before


def learned(model: WithAux, parts: list[Chunk], **fields: Any) -> torch.Tensor:
    model.zero_grad()
    learner = Learner(StreamLoss(model, precision="float32"), settings(clip=0.0, lr=1e-9, **fields), World())
    learner.update([parts[:2], parts[2:]], model.init_memory(2), dropout=NO_DROPOUT, rate=0.0, step=0)
    return gradients(model)


def test_gradients_of_the_memorys_own_losses_are_clipped_on_their_own() -> None:
    model, parts = WithAux(GRUConfig(d_model=8, n_layers=1)).double(), chunks(4)
    together = learned(model, parts)
    torch.testing.assert_close(learned(model, parts, clip_aux=1e9), together, rtol=1e-9, atol=1e-14)
    fifth, tenth = (learned(model, parts, clip_aux=limit) for limit in (2e-3, 1e-3))
    # What is left of the memory's losses is as long as it may be, and points where it did.
    assert float((fifth - tenth).norm()) == pytest.approx(1e-3, rel=1e-2)
    aux = fifth - tenth
    towards = together - (tenth - aux)
    assert float(aux @ towards / aux.norm() / towards.norm()) == pytest.approx(1.0, abs=1e-3)


def test_gradients_apart_need_one_process() -> None:
    with pytest.raises(ConfigError, match="keeps gradients apart that ranks only share together"):
        Learner(StreamLoss(tiny(), precision="float32"), settings(clip_aux=0.1), World(0, 2))


def test_recompute_gives_the_same_update_with_gradients_apart() -> None:
    digests: set[str] = set()
    for recompute in (False, True):
        model = tiny("compressive-transformer")
        learner = Learner(StreamLoss(model, precision="float32"), settings(recompute=recompute, clip_aux=1e-4), World())
        torch.manual_seed(0)
        memory = model.init_memory(2)
        first = learner.update([chunks(4, time=8)], memory, dropout=NO_DROPOUT, rate=0.1, step=0)
        second = learner.update([chunks(4, time=8)], first.memory, dropout=NO_DROPOUT, rate=0.1, step=1)
        assert second.aux
        digests.add(model.weights_digest())
    assert len(digests) == 1
