"""An encoder with the head of a task: labels of texts, tags of tokens, answers to questions."""

from abc import abstractmethod
from typing import Any, Self

from torch import Tensor, nn

from everlong.models.base import Model
from everlong.models.encoder import Encoder, Sections, first_tokens
from everlong.shapes import Tokens


class HeadedEncoder(Model):
    """An encoder, and what a task puts on it. Its config and its name are the encoder's."""

    idle_weights = True

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder.config)
        self.architecture = encoder.architecture  # pyright: ignore[reportAttributeAccessIssue]
        self.encoder = encoder

    @property
    def backbone(self) -> Encoder:
        """The encoder."""
        return self.encoder

    @property
    def heads(self) -> dict[str, nn.Module]:
        """What the task put on it."""
        return {name: part for name, part in self.named_children() if part is not self.encoder}

    def marks(self, tokens: Tokens, sections: Sections | None) -> dict[str, Tensor | None]:
        """What the encoder is told beside the tokens of texts: their first ones as global, and where sections begin.

        Each where it has such; else it is left out.
        """
        marks: dict[str, Tensor | None] = {"sections": sections} if self.encoder.has_sections else {}
        return marks | ({"global_mask": first_tokens(tokens)} if self.encoder.has_global_tokens else {})

    @abstractmethod
    def around(self, encoder: Encoder) -> Self:
        """Another encoder with a new head for the same."""

    def with_config(self, **changes: Any) -> Self:
        """The same weights under another config of the encoder.

        Raises:
            ConfigError: a changed field changes the shape of a weight.
        """
        other = self.around(self.encoder.with_config(**changes))
        for name, head in self.heads.items():
            other.get_submodule(name).load_state_dict(head.state_dict())
        return other.train(self.training)
