"""Longformer-Encoder-Decoder: its encoder is Longformer's, and its decoder the Transformer's."""

from typing import Any

import pytest
import torch

from everlong.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from everlong.models.longformer_encoder import LongformerEncoder, LongformerEncoderConfig
from everlong.models.longformer_encoder_decoder import LongformerEncoderDecoder, LongformerEncoderDecoderConfig
from everlong.testing.subject import stir_weights

SMALL = {"vocab_size": 11, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 20}


def make(**fields: Any) -> LongformerEncoderDecoder:
    model = LongformerEncoderDecoder(LongformerEncoderDecoderConfig(**{**SMALL, "window": 4, **fields})).double()
    stir_weights(model, seed=3)
    return model


@pytest.mark.parametrize("fields", [{}, {"window": (2, 6), "dilation": (1, (2, 1))}], ids=str)
def test_its_encoder_is_longformers_with_the_first_token_global(fields: dict[str, Any]) -> None:
    model = make(positions="rotary", **fields)
    encoder = LongformerEncoder(LongformerEncoderConfig(**{**SMALL, "window": 4, **fields})).double()
    encoder.layers.load_state_dict(model.encoder_layers.state_dict())
    encoder.norm.load_state_dict(model.encoder_norm.state_dict())
    with torch.no_grad():
        encoder.embedding.weight[:11] = 4 * model.embedding.weight  # sqrt(d)
    source, lengths = torch.randint(11, (3, 20)), torch.tensor([20, 7, 0])
    first = torch.zeros_like(source, dtype=torch.bool)
    first[:, 0] = True
    hidden = encoder(source, lengths=lengths, global_mask=first)
    expected = torch.stack([layer.keep(hidden) for layer in model.layers], dim=1)
    found = model.read(source, lengths=lengths).source
    for lane, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(found[lane, :, :length], expected[lane, :, :length], rtol=0, atol=1e-12)


def test_its_decoder_is_the_transformers() -> None:
    model = make()
    other = EncoderDecoder(EncoderDecoderConfig(**SMALL)).double()
    own = {name: x for name, x in model.state_dict().items() if not name.startswith("encoder")}
    other.load_state_dict({**other.state_dict(), **own})
    memory, tokens = model.read(torch.randint(11, (2, 9))), torch.randint(11, (2, 5))
    same = other.init_memory(2, source_slots=9)
    given = type(same)(**{**same.flatten(), "source": memory.source, "source_length": memory.source_length})
    torch.testing.assert_close(model(tokens, memory)[0], other(tokens, given)[0], rtol=0, atol=1e-12)
