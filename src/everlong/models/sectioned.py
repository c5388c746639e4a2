"""What encoders share that read a text in sections: sentences or paragraphs where they are marked, else even pieces."""

from pydantic import Field

from everlong.clock import Clock
from everlong.models.base import ModelConfig
from everlong.models.encoder import Encoder, GlobalMask
from everlong.nn.sections import even_sections
from everlong.shapes import Hidden, Tokens


class SectionedConfig(ModelConfig):
    """How a text is cut."""

    segment: int = Field(default=128, ge=1)
    """Tokens of a section where none are marked."""


class SectionedEncoder(Encoder):
    """An encoder of sections, and of the text that they make up."""

    has_sections = True
    idle_weights = True

    @property
    def config(self) -> SectionedConfig:
        """The config this encoder was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode(self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None) -> Hidden:
        """Hidden states of all tokens, in sections of `segment`."""
        del global_mask
        return self.encode_sections(tokens, clock, even_sections(clock, self.config.segment))
