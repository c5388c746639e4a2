"""An encoder that tells the class of a text from its vector.

logits = classifier(tokens, lengths=lengths, sections=sections)          [b c]
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.heads import ClassHead
from everlong.models.base import Model
from everlong.models.encoder import Encoder, Sections
from everlong.shapes import Lengths, Tokens


class Classifier(Model):
    """An encoder and a head for classes. Its config and its name are the encoder's."""

    idle_weights = True

    def __init__(self, encoder: Encoder, labels: Sequence[str]) -> None:
        super().__init__(encoder.config)
        self.architecture = encoder.architecture  # pyright: ignore[reportAttributeAccessIssue]
        self.encoder, self.labels = encoder, tuple(labels)
        head = ClassHead(width=self.config.d_model, n_labels=len(self.labels), dropout=self.config.dropout)
        self.classes = head.to(encoder.device, encoder.dtype)

    @property
    def backbone(self) -> Encoder:
        """The encoder."""
        return self.encoder

    if TYPE_CHECKING:

        def __call__(
            self, tokens: Tokens, *, lengths: Lengths | None = None, sections: Sections | None = None
        ) -> Float[Tensor, "b c"]:
            """See `forward`."""
            ...

    def forward(
        self, tokens: Tokens, *, lengths: Lengths | None = None, sections: Sections | None = None
    ) -> Float[Tensor, "b c"]:
        """Unnormalised log-probabilities of the classes of each text.

        Where the encoder has global tokens, a text's first one is global; where it does not read in sections, they are
        left out.
        """
        self.encoder.recompute = self.recompute
        marks: dict[str, Tensor | None] = {"sections": sections} if self.encoder.has_sections else {}
        if self.encoder.has_global_tokens:
            first = torch.arange(tokens.shape[1], device=tokens.device) == 0
            marks["global_mask"] = first.expand_as(tokens)
        return self.classes(self.encoder.pool(tokens, lengths=lengths, **marks))

    def with_config(self, **changes: Any) -> Self:
        """The same weights under another config of the encoder.

        Raises:
            ConfigError: a changed field changes the shape of a weight.
        """
        other = type(self)(self.encoder.with_config(**changes), self.labels)
        other.classes.load_state_dict(self.classes.state_dict())
        return other.train(self.training)
