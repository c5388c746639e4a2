"""What encoders share that read a text in sections: sentences or paragraphs where they are marked, else even pieces."""

from pydantic import Field

from everlong.clock import Clock
from everlong.models.base import ModelConfig
from everlong.models.encoder import Encoder, GlobalMask, Sections
from everlong.nn.sections import Layout, even_sections, in_sections
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

    def layout(self, clock: Clock, sections: Sections | None) -> Layout:
        """Where the tokens of each section are; those of `segment` where none are marked."""
        return in_sections(even_sections(clock, self.config.segment) if sections is None else sections, clock)
