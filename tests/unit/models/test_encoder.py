"""What every encoder does the same: checks, padding, the mask symbol, other configs."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.errors import ConfigError, ShapeError
from everlong.models import Encoder, create_model, list_models
from everlong.models.bert import Bert, BertConfig
from everlong.models.encoder import check_marks
from everlong.shapes import IGNORE

NAMES = list_models("encoder")
FIELDS: dict[str, dict[str, Any]] = {"bert": {"n_heads": 2, "d_ff": 12}}


def make(name: str, **fields: Any) -> Encoder:
    given = {"vocab_size": 11, "d_model": 8, "n_layers": 2, **FIELDS.get(name, {}), **fields}
    return create_model(name, **given).eval()


def some_tokens(lanes: int = 2, time: int = 9) -> Tensor:
    return torch.randint(11, (lanes, time))


class Summed(Bert):
    """Every token of the text, added to its global ones."""

    has_global_tokens = True

    def encode(self, tokens, clock, global_mask):
        hidden = super().encode(tokens, clock, None)
        return hidden if global_mask is None else hidden + global_mask[..., None]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_text_is_refused(name: str) -> None:
    encoder = make(name)
    with pytest.raises(ShapeError, match=r"tokens must be int64 of shape \[lanes, time\], got torch.int32"):
        encoder(some_tokens().int())
    with pytest.raises(ShapeError, match="hold nothing to read"):
        encoder(torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(ShapeError, match="lengths must lie between 0 and the chunk's 9 tokens"):
        encoder(some_tokens(), lengths=torch.tensor([3, 10]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("token", [-1, 12, 2**40])
def test_a_token_outside_the_vocabulary(name: str, token: int) -> None:
    tokens = some_tokens()
    tokens[1, 4] = token
    with pytest.raises(ShapeError, match=rf"token {token} is outside the vocabulary of 11\. Use the tokenizer"):
        make(name)(tokens)


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_symbol_comes_after_the_vocabulary(name: str) -> None:
    encoder, tokens = make(name), some_tokens()
    assert encoder.mask_token == 11
    tokens[0, 3] = encoder.mask_token
    assert encoder.logits(tokens).shape == (2, 9, 11)


@pytest.mark.parametrize("name", NAMES)
def test_padding_may_hold_anything_and_comes_out_as_zeros(name: str) -> None:
    encoder, tokens, lengths = make(name), some_tokens(), torch.tensor([4, 9])
    clean = encoder(tokens, lengths=lengths)
    tokens[0, 4:] = IGNORE
    assert torch.equal(encoder(tokens, lengths=lengths), clean)
    assert not clean[0, 4:].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_for_an_encoder_without_global_tokens(name: str) -> None:
    encoder, tokens = make(name), some_tokens()
    if encoder.has_global_tokens:
        return
    with pytest.raises(ShapeError, match=rf"{name} has no global tokens\. Leave out global_mask"):
        encoder(tokens, global_mask=torch.ones_like(tokens, dtype=torch.bool))


@pytest.mark.parametrize("name", NAMES)
def test_sections_for_an_encoder_that_reads_in_none(name: str) -> None:
    encoder, tokens = make(name), some_tokens()
    marks = torch.zeros_like(tokens, dtype=torch.bool)
    if not encoder.has_sections:
        for read in (encoder, encoder.pool):
            with pytest.raises(ShapeError, match=rf"{name} does not read in sections\. Leave out sections"):
                read(tokens, sections=marks)
        return
    # The first token begins a section whether that is said or not.
    first = marks.clone()
    first[:, 0] = True
    assert torch.equal(encoder(tokens, sections=marks), encoder(tokens, sections=first))


def test_a_text_is_summed_up_as_the_mean_of_its_tokens_or_of_its_global_ones() -> None:
    encoder, tokens, lengths = make("longformer-encoder"), some_tokens(), torch.tensor([4, 9])
    hidden = encoder(tokens, lengths=lengths)
    expected = torch.stack([hidden[0, :4].mean(dim=0), hidden[1].mean(dim=0)])
    torch.testing.assert_close(encoder.pool(tokens, lengths=lengths), expected)
    mask = torch.zeros(2, 9, dtype=torch.bool)
    mask[1, [0, 3]] = True
    hidden = encoder(tokens, lengths=lengths, global_mask=mask)
    expected = torch.stack([hidden[0, :4].mean(dim=0), hidden[1, [0, 3]].mean(dim=0)])
    torch.testing.assert_close(encoder.pool(tokens, lengths=lengths, global_mask=mask), expected)


@pytest.mark.parametrize("mask", [torch.ones(2, 9), torch.ones(2, 8, dtype=torch.bool)])
def test_a_global_mask_that_does_not_fit(mask: Tensor) -> None:
    message = r"global_mask must be bool of shape \[2, 9\] like tokens, got torch\.\w+ of shape \[2, [89]\]"
    with pytest.raises(ShapeError, match=message):
        check_marks(mask, name="global_mask", like=some_tokens())


def test_padding_is_never_global() -> None:
    encoder = Summed(BertConfig(vocab_size=11, d_model=8, n_layers=1)).eval()
    tokens, lengths = some_tokens(), torch.tensor([4, 0])
    mask = torch.zeros(2, 9, dtype=torch.bool)
    mask[:, 4:] = True
    assert torch.equal(encoder(tokens, lengths=lengths, global_mask=mask), encoder(tokens, lengths=lengths))
    mask[0, 2] = True
    difference = encoder(tokens, lengths=lengths, global_mask=mask) - encoder(tokens, lengths=lengths)
    assert difference.abs().amax(dim=-1).nonzero().tolist() == [[0, 2]]


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_those_of_the_logits(name: str) -> None:
    encoder, tokens, targets = make(name), some_tokens(), some_tokens()
    lengths = torch.tensor([9, 6])
    targets[0, ::2], targets[1, 6:] = IGNORE, IGNORE
    losses = encoder.token_losses(tokens, targets, lengths=lengths)
    logits = encoder.logits(tokens, lengths=lengths)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(2, 9)
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_under_another_config(name: str) -> None:
    encoder = make(name).train()
    other = encoder.with_config(dropout=0.5)
    assert (other.training, other.config.dropout, encoder.config.dropout) == (True, 0.5, 0.0)
    assert other.weights_digest() == encoder.weights_digest()
    assert encoder.double().with_config(dropout=0.1).dtype == torch.float64
    with pytest.raises(ConfigError, match=rf"n_layers=3 changes the weights of this {name}; train a new model"):
        encoder.with_config(n_layers=3)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_happens_in_training_only(name: str) -> None:
    encoder, tokens = make(name, dropout=0.5), some_tokens()
    assert torch.equal(encoder(tokens), encoder(tokens))
    assert not torch.equal(encoder.train()(tokens), encoder(tokens))


@pytest.mark.parametrize("name", NAMES)
def test_weights_survive_a_state_dict(name: str) -> None:
    encoder, other, tokens = make(name), make(name), some_tokens()
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other(tokens), encoder(tokens))
