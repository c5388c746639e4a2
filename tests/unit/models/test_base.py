"""What every language model does the same: checks, losses, other configs, checkpointed activations."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.errors import ConfigError, MemoryMismatch, ShapeError
from everlong.models import LanguageModel, create_model, list_models
from everlong.models.base import check_chunk
from everlong.shapes import IGNORE
from everlong.testing.subject import stir_weights

NAMES = list_models("causal")
FIELDS: dict[str, dict[str, Any]] = {
    "transformer": {"n_heads": 2, "d_ff": 12, "context": 7},
    "transformer-xl": {"n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 6},
}


def make(name: str, **fields: Any) -> LanguageModel[Any]:
    given = {"vocab_size": 11, "d_model": 8, "n_layers": 2, **FIELDS.get(name, {}), **fields}
    model = create_model(name, **given).eval()
    # Some begin with logits that are all zero, and so with nothing that a test could see.
    stir_weights(model, seed=0)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_logits_of_chosen_tokens_are_those_of_a_plain_call(name: str) -> None:
    model = make(name)
    before, tokens = some_tokens(time=5), some_tokens()
    places = torch.rand(tokens.shape) < 0.3
    lengths, starts = torch.tensor([9, 6]), torch.rand(tokens.shape) < 0.2
    with torch.no_grad():
        _, memory = model(before)
        logits, after = model(tokens, memory, starts=starts, lengths=lengths)
        chosen, kept = model.logits_at(tokens, places, memory, starts=starts, lengths=lengths)
        none, _ = model.logits_at(tokens, torch.zeros_like(places))
    torch.testing.assert_close(chosen, logits[places])
    torch.testing.assert_close(kept.flatten(), after.flatten())
    assert none.shape == (0, 11)


def some_tokens(lanes: int = 2, time: int = 9) -> Tensor:
    return torch.randint(11, (lanes, time))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (
            torch.zeros(3),
            r"tokens must be int64 of shape \[lanes, time\], got torch.float32 of shape \[3\].*tokens\[None\]",
        ),
        (
            torch.zeros(3, dtype=torch.int64),
            r"tokens must be int64 of shape \[lanes, time\], got torch.int64 of shape \[3\]",
        ),
        (torch.zeros(2, 3, dtype=torch.int32), r"tokens must be int64 of shape \[lanes, time\], got torch.int32"),
        (
            torch.zeros(2, 0, dtype=torch.int64),
            r"tokens of shape \[2, 0\] hold nothing to read. Give at least",
        ),
        (torch.zeros(0, 2, dtype=torch.int64), r"tokens of shape \[0, 2\] hold nothing to read"),
    ],
)
def test_tokens_that_are_none(tokens: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_chunk(tokens, starts=None, lengths=None)


@pytest.mark.parametrize(
    "vectors",
    [torch.zeros(2, 3), torch.zeros(2, 3, 4), torch.zeros(2, 3, 5, dtype=torch.int64), torch.zeros(3, 5)],
    ids=lambda vectors: f"{vectors.dtype} {list(vectors.shape)}",
)
def test_vectors_that_are_none(vectors: Tensor) -> None:
    message = (
        r"this model reads vectors: floats of shape \[lanes, time, 5\], got torch\.\w+ of shape .*\. "
        r"For one stream, give vectors\[None\]; for tokens, set input_size=0\."
    )
    with pytest.raises(ShapeError, match=message):
        check_chunk(vectors, starts=None, lengths=None, width=5)


def test_vectors_follow_the_same_rules_as_tokens() -> None:
    vectors = torch.zeros(2, 3, 5)
    check_chunk(vectors, starts=torch.zeros(2, 3, dtype=torch.bool), lengths=torch.tensor([0, 3]), width=5)
    with pytest.raises(ShapeError, match=r"starts must be bool of shape \[2, 3\] like tokens"):
        check_chunk(vectors, starts=torch.zeros(2, 3, 5, dtype=torch.bool), lengths=None, width=5)
    with pytest.raises(ShapeError, match=r"tokens of shape \[2, 0, 5\] hold nothing to read"):
        check_chunk(vectors[:, :0], starts=None, lengths=None, width=5)


@pytest.mark.parametrize("starts", [torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.bool)])
def test_starts_that_do_not_fit(starts: Tensor) -> None:
    with pytest.raises(
        ShapeError, match=r"starts must be bool of shape \[2, 3\] like tokens, got torch\.\w+ of shape \[2, [34]\]"
    ):
        check_chunk(torch.zeros(2, 3, dtype=torch.int64), starts=starts, lengths=None)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (
            torch.zeros(3, dtype=torch.int64),
            r"lengths must be int64 of shape \[2\], one per lane, got torch.int64 of shape \[3\]",
        ),
        (torch.zeros(2), r"lengths must be int64 of shape \[2\], one per lane, got torch.float32"),
        (torch.tensor([0, 4]), r"lengths must lie between 0 and the chunk's 3 tokens, got \[0, 4\]"),
        (torch.tensor([-1, 3]), r"lengths must lie between 0 and the chunk's 3 tokens, got \[-1, 3\]"),
    ],
)
def test_lengths_that_do_not_fit(lengths: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        check_chunk(torch.zeros(2, 3, dtype=torch.int64), starts=None, lengths=lengths)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_chunk_never_reaches_the_layers(name: str) -> None:
    with pytest.raises(ShapeError, match=r"lengths must lie between 0 and the chunk's 4 tokens, got \[5\]"):
        make(name)(some_tokens(1, 4), lengths=torch.tensor([5]))


@pytest.mark.parametrize("name", NAMES)
def test_lane_mismatch_names_the_remedy(name: str) -> None:
    model = make(name)
    message = r"tokens have 3 lanes, memory has 2\. Choose lanes with memory.select\(\.\.\.\), or .*init_memory\(3\)"
    with pytest.raises(MemoryMismatch, match=message):
        model(some_tokens(3), model.init_memory(2))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("token", [-1, 11, 2**40])
def test_a_token_outside_the_vocabulary(name: str, token: int) -> None:
    tokens = some_tokens()
    tokens[1, 4] = token
    with pytest.raises(ShapeError, match=rf"token {token} is outside the vocabulary of 11\. Use the tokenizer"):
        make(name)(tokens)


@pytest.mark.parametrize("name", NAMES)
def test_padding_may_hold_anything(name: str) -> None:
    model, tokens, lengths = make(name), some_tokens(), torch.tensor([4, 9])
    clean, _ = model(tokens, lengths=lengths)
    tokens[0, 4:] = IGNORE
    found, _ = model(tokens, lengths=lengths)
    assert torch.equal(found[0, :4], clean[0, :4])
    assert torch.equal(found[1], clean[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_memory_of_other_slots_or_another_model_is_refused(name: str) -> None:
    model, tokens = make(name), some_tokens()
    for stranger in (make(name, d_model=24), make(name).double(), make("gru" if name != "gru" else "lstm")):
        with pytest.raises(
            MemoryMismatch, match=rf"this {name} needs a \w+ with position int64\[\].* per lane, got a \w+ with"
        ):
            model(tokens, stranger.init_memory(2))
    # What fits is not asked for again: the layout of a mode is computed once, and a change of type is noticed.
    model(tokens, model.init_memory(2))
    model.double()(tokens, model.init_memory(2))


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_those_of_the_logits(name: str) -> None:
    model, tokens, targets = make(name), some_tokens(), some_tokens()
    targets[0, 3] = IGNORE
    starts = torch.rand(2, 9) < 0.2
    logits, _ = model(tokens, starts=starts)
    again, memory, aux = model.forward_with_aux(tokens, starts=starts)
    losses, kept, also = model.token_losses(tokens, targets, starts=starts)
    assert torch.equal(again, logits)
    assert aux == also == {}
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(2, 9)
    torch.testing.assert_close(losses, expected)
    assert losses[0, 3] == 0
    assert torch.equal(kept.position, memory.position)


@pytest.mark.parametrize("name", NAMES)
def test_a_memory_is_signed_by_its_model(name: str) -> None:
    model = make(name)
    assert model.init_memory(1).maker is model
    assert model(some_tokens())[1].maker is model
    assert model.token_losses(some_tokens(), some_tokens())[1].maker is model


@pytest.mark.parametrize("name", NAMES)
def test_digest_follows_the_weights(name: str) -> None:
    torch.manual_seed(0)
    model = make(name)
    torch.manual_seed(0)
    assert make(name).weights_digest() == model.weights_digest()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    torch.manual_seed(0)
    assert make(name).weights_digest() != model.weights_digest()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_under_another_config(name: str) -> None:
    model = make(name).train()
    other = model.with_config(dropout=0.5)
    assert other.training
    assert other.config.dropout == 0.5
    assert model.config.dropout == 0.0
    assert other.weights_digest() == model.weights_digest()
    assert model.double().with_config(dropout=0.1).dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changes", [{"d_model": 16}, {"n_layers": 3}])
def test_a_config_of_other_weights_is_refused(name: str, changes: dict[str, int]) -> None:
    ((field, value),) = changes.items()
    with pytest.raises(
        ConfigError, match=rf"{field}={value} changes the weights of this {name}; train a new model for it"
    ):
        make(name).with_config(**changes)
    with pytest.raises(ConfigError, match=r"has no field 'colour'"):
        make(name).with_config(colour=3)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_happens_in_training_only(name: str) -> None:
    model, tokens = make(name, dropout=0.5), some_tokens()
    assert torch.equal(model(tokens)[0], model(tokens)[0])
    assert not torch.equal(model.train()(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("name", NAMES)
def test_weights_survive_a_state_dict(name: str) -> None:
    model, other, tokens = make(name), make(name), some_tokens()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("name", NAMES)
def test_sizes_known_before_any_request(name: str) -> None:
    model = make(name)
    per_lane = model.init_memory(1).nbytes
    memory = model.init_memory(5)
    assert memory.nbytes == 5 * per_lane
    assert model(some_tokens(5))[1].nbytes == 5 * per_lane
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.float32
