"""An encoder inside another one: it reads each section of a text as if that were a text of its own.

    inside = "longformer-encoder"       an encoder of the registry that reads a text in one piece
    inside_config = {"window": 64}      its fields; vocab_size, d_model and dropout are those around it

What comes of a section are the hidden states of its tokens, and the vector that `pool` returns. Where the encoder has
global tokens, the first one of a section is global, as the first one of a text is where a text is classified.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from everlong.clock import tick
from everlong.errors import did_you_mean
from everlong.models.base import ModelConfig
from everlong.models.encoder import Encoder, first_tokens
from everlong.models.registry import create_model, describe_model, list_models
from everlong.models.sectioned import SectionedConfig
from everlong.shapes import Tokens

SHARED = ("vocab_size", "d_model", "dropout")
"""Fields that both encoders have, with the same values."""


class InsideConfig(ModelConfig):
    """Which encoder is inside, if any."""

    inside: str | None = None
    """Name of an encoder that reads each section, in the place of the first layer."""
    inside_config: dict[str, Any] = Field(default_factory=dict)
    """Fields of the encoder inside; those that are not given have its defaults, or are the same as around it."""

    @field_validator("inside")
    @classmethod
    def _known(cls, inside: str | None) -> str | None:
        names = [name for name in list_models("encoder") if not issubclass(describe_model(name)[1], SectionedConfig)]
        if inside is not None and inside not in names:
            raise ValueError(
                f"that is no encoder that reads a text in one piece.{did_you_mean(inside, names)} "
                f"Give {', '.join(names)}"
            )
        return inside

    @field_validator("inside_config")
    @classmethod
    def _whole(cls, given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """All fields that the encoder inside has for itself, as JSON has them."""
        around = info.data
        if not {"inside", *SHARED} <= around.keys():
            return given  # what is wrong with those is said
        if around["inside"] is None:
            if given:
                raise ValueError("no encoder is inside; leave it out, or give inside='bert' or another")
            return given
        for name in SHARED:
            if given.get(name, around[name]) != around[name]:
                raise ValueError(
                    f"the encoder inside has the {name} of the one around it, which is {around[name]}; "
                    f"leave {name} out, or give the same to both"
                )
        config = describe_model(around["inside"])[1].parse({**given, **{name: around[name] for name in SHARED}})
        return config.model_dump(mode="json", exclude=set(SHARED))

    def new_encoder(self) -> Encoder | None:
        """The encoder inside, with new weights."""
        if self.inside is None:
            return None
        return create_model(self.inside, **self.inside_config, **{name: getattr(self, name) for name in SHARED})


def read_whole(encoder: Encoder, tokens: Tokens, real: Bool[Tensor, "b t"] | None) -> Float[Tensor, "b s d"]:
    """The vector of each text, and after it the hidden states of its tokens; those of padding are finite.

    Args:
        encoder: reads a text in one piece.
        tokens: texts, right-padded with anything.
        real: which tokens are no padding; ``None`` when all are.
    """
    lengths = None if real is None else real.sum(dim=1)
    clock = tick(torch.zeros_like(tokens[:, 0]), time=tokens.shape[1], starts=None, lengths=lengths)
    tokens = tokens if real is None else tokens.where(real, 0)
    marks = first_tokens(tokens) if encoder.has_global_tokens else None
    hidden = encoder.encode(tokens, clock, marks)
    return torch.cat([encoder.summary(hidden, clock, marks)[:, None], hidden], dim=1)
