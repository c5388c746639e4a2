"""Longformer, causal and not, against its one-by-one twin, the dense models it becomes, and facts of its paper."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.models import LanguageModel, create_model
from everlong.models.bert import Bert
from everlong.models.longformer_encoder import LongformerEncoder
from everlong.testing.subject import stir_weights
from tests.reference.longformer import encode, read_causal

SMALL: dict[str, Any] = {"vocab_size": 13, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12}
TIME = 14


def make(**fields: Any) -> LanguageModel[Any]:
    torch.manual_seed(0)
    model = create_model("longformer", **{**SMALL, **fields}).double().eval()
    stir_weights(model, seed=1)
    return model


def make_encoder(**fields: Any) -> LongformerEncoder:
    torch.manual_seed(0)
    model = create_model("longformer-encoder", **{**SMALL, **fields}).double().eval()
    stir_weights(model, seed=1)
    return model


def random_tokens(time: int = TIME, *, lanes: int = 2) -> Tensor:
    return torch.randint(SMALL["vocab_size"], (lanes, time), generator=torch.Generator().manual_seed(2))


def same_gradients(found: Tensor, expected: Tensor, model: torch.nn.Module) -> None:
    mixture, weights = torch.randn(found.shape, dtype=torch.float64), list(model.parameters())
    ours, theirs = (
        torch.autograd.grad((x * mixture).sum(), weights, allow_unused=True, materialize_grads=True)
        for x in (found, expected)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


CAUSAL = [
    {"window": 4, "n_global": 0},
    {"window": 5, "n_global": 3},
    {"window": 1, "n_global": 1},
    {"window": 2, "n_global": 9},
    {"window": 3, "dilation": 2, "n_global": 0},
    {"window": 3, "dilation": (1, (1, 3)), "n_global": 4},
    {"window": (2, 4), "dilation": ((2, 1), 3), "n_global": 2, "rope_base": 50.0},
    {"window": 40, "n_global": 3},
]


@pytest.mark.parametrize("fields", CAUSAL, ids=str)
def test_the_causal_model_is_its_twin(fields: dict[str, Any]) -> None:
    """Values, gradients, and a stream read token by token."""
    model, tokens = make(**fields), random_tokens()
    expected = torch.stack([read_causal(model, lane) for lane in tokens])
    found, _ = model(tokens)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    same_gradients(found, expected, model)
    memory = None
    with torch.inference_mode():
        for t in range(TIME):
            logits, memory = model(tokens[:, t : t + 1], memory)
            torch.testing.assert_close(logits[:, 0], expected[:, t], rtol=0, atol=1e-12)


@pytest.mark.parametrize("fields", CAUSAL[1:7], ids=str)
def test_documents_in_a_chunk_have_their_own_pins(fields: dict[str, Any]) -> None:
    """Begun before the chunk, at its first token, within it, and twice within it: every document is its twin's."""
    model, tokens = make(**fields), random_tokens(3 * TIME, lanes=3)
    begins = [[0, 5, 9], [0, 23, 24, 39], [0]]
    starts = torch.zeros_like(tokens, dtype=torch.bool)
    for lane, at in enumerate(begins):
        starts[lane, at] = True
    logits, memory = [], None
    for span in (slice(0, 7), slice(7, 22), slice(22, 23), slice(23, None)):
        found, memory = model(tokens[:, span], memory, starts=starts[:, span])
        logits.append(found)
    found = torch.cat(logits, dim=1)
    for lane, at in enumerate(begins):
        for first, following in zip(at, [*at[1:], 3 * TIME], strict=True):
            last = min(following, first + TIME)
            expected = read_causal(model, tokens[lane, first:last])
            torch.testing.assert_close(found[lane, first:last], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("window", "n_global"), [(1, 0), (5, 0), (9, 0), (40, 3), (64, 64)])
def test_without_gaps_and_pins_it_is_the_transformer(window: int, n_global: int, training: bool) -> None:
    """So it is with pins while they are all in the window: a pin is not seen twice."""
    model = make(window=window, n_global=n_global).train(training)
    dense = create_model("transformer", **SMALL, context=window).double().train(training)
    dense.load_state_dict(model.state_dict())
    tokens, memory, kept = random_tokens(40), None, None
    for span in (slice(0, 1), slice(1, 18), slice(18, 39), slice(39, 40)):
        found, memory = model(tokens[:, span], memory)
        expected, kept = dense(tokens[:, span], kept)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


def test_a_pin_far_away_is_as_near_as_the_window_ends() -> None:
    """What a pin's distance looks like does not change with the stream: repeated text gives repeated logits."""
    model = make(window=3, n_global=2)
    period = random_tokens(4, lanes=1)
    tokens = torch.cat([random_tokens(2, lanes=1), period.repeat(1, 8)], dim=1)
    logits, _ = model(tokens)
    settled = logits[:, 2 + 2 * 2 + 2 :]
    torch.testing.assert_close(settled[:, 4:8], settled[:, 16:20], rtol=0, atol=1e-12)


def test_windows_and_pins_may_be_others_at_evaluation_than_in_training() -> None:
    other = make(window=4, n_global=1).with_config(window=(6, 9), n_global=3)
    tokens = random_tokens(lanes=1)
    torch.testing.assert_close(other(tokens)[0][0], read_causal(other, tokens[0]), rtol=0, atol=1e-12)


def test_what_a_session_costs_follows_each_layers_window() -> None:
    model = create_model("longformer", **SMALL, window=(2, 6), dilation=((1, 1), (1, 3)), n_global=4)
    slots = (4 + 2) + (4 + 5 * 3 + 1)
    assert model.init_memory(1).nbytes == 8 + slots * 2 * SMALL["d_model"] * 4


ENCODERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"window": 4}, []),
    ({"window": 4}, [0]),
    ({"window": 6}, [3, 4, 13]),
    ({"window": 2, "dilation": 3}, [5]),
    ({"window": (2, 4), "dilation": ((1, 2), 2)}, [0, 1, 7]),
    ({"window": 40}, [2]),
    ({"window": 2}, list(range(TIME))),
    ({"window": 4, "norm": "post", "norm_eps": 1e-3}, [3]),
    ({"window": 4, "positions": "learned", "n_positions": 5}, [0, 9]),
    ({"window": 6, "norm": "post", "positions": "learned", "n_positions": 40}, []),
]


@pytest.mark.parametrize(("fields", "global_tokens"), ENCODERS, ids=str)
def test_l2_l4_l5_the_encoder_is_its_twin(fields: dict[str, Any], global_tokens: list[int]) -> None:
    """Values and gradients; beside another lane with other global tokens, and beside padding."""
    model, tokens = make_encoder(**fields), random_tokens()
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[0, global_tokens], mask[1, 4] = True, True
    lengths = torch.tensor([TIME, 9])
    found = model(tokens, lengths=lengths, global_mask=mask)
    torch.testing.assert_close(found[1, :9], encode(model, tokens[1, :9], global_tokens=[4]), rtol=0, atol=1e-12)
    expected = encode(model, tokens[0], global_tokens=global_tokens)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=1e-12)
    alone = model(tokens[:1], global_mask=mask[:1] if global_tokens else None)[0]
    torch.testing.assert_close(alone, expected, rtol=0, atol=1e-12)
    same_gradients(alone, expected, model)


def dense_twin(model: LongformerEncoder, **fields: Any) -> Bert:
    dense: Bert = create_model("bert", **SMALL, **fields).double().eval()
    weights = model.state_dict()
    dense.load_state_dict({name: weights[name] for name in dense.state_dict()})
    return dense


@pytest.mark.parametrize("lengths", [None, [TIME, 5]])
@pytest.mark.parametrize("fields", [{}, {"norm": "post", "positions": "learned", "n_positions": 9}], ids=str)
def test_l1_a_window_over_the_whole_text_is_dense_attention(lengths: list[int] | None, fields: dict[str, Any]) -> None:
    model, tokens = make_encoder(window=2 * TIME, **fields), random_tokens()
    real = None if lengths is None else torch.tensor(lengths)
    expected = dense_twin(model, **fields)(tokens, lengths=real)
    torch.testing.assert_close(model(tokens, lengths=real), expected, rtol=0, atol=1e-12)


def test_l3_with_all_tokens_global_and_one_projection_it_is_dense_attention() -> None:
    model, tokens = make_encoder(window=2), random_tokens()
    expected = dense_twin(model)(tokens)
    everything = torch.ones_like(tokens, dtype=torch.bool)
    assert not torch.allclose(model(tokens, global_mask=everything), expected)
    model.copy_local_projections()
    torch.testing.assert_close(model(tokens, global_mask=everything), expected, rtol=0, atol=1e-12)


def test_l6_padding_and_how_much_of_it_changes_nothing() -> None:
    model, tokens, lengths = make_encoder(window=4), random_tokens(), torch.tensor([3, 9])
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    mask[:, [1, 12]] = True
    wide = torch.cat([tokens, random_tokens(100)], dim=1)
    found = model(tokens, lengths=lengths, global_mask=mask)
    other = model(wide, lengths=lengths, global_mask=torch.nn.functional.pad(mask, (0, 100), value=True))
    torch.testing.assert_close(other[:, :TIME], found, rtol=0, atol=1e-13)


def test_global_projections_begin_as_copies() -> None:
    model: LongformerEncoder = create_model("longformer-encoder", **SMALL)
    for layer in model.layers:
        ours, theirs = layer.project_global, layer.project
        assert torch.equal(ours.weight, theirs.weight)
        assert ours.weight.data_ptr() != theirs.weight.data_ptr()


def test_training_without_global_tokens_leaves_global_projections_as_they_were() -> None:
    model, tokens = make_encoder(), random_tokens()
    model.token_losses(tokens, tokens).sum().backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None}
    assert silent == {name for name, _ in model.named_parameters() if "project_global" in name}
