"""An encoder that tells the class of a text from its vector.

logits = classifier(tokens, lengths=lengths, sections=sections)          [b c]
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from jaxtyping import Float
from torch import Tensor

from everlong.heads import ClassHead
from everlong.models.encoder import Encoder, Sections
from everlong.models.headed import HeadedEncoder
from everlong.shapes import Lengths, Tokens


class Classifier(HeadedEncoder):
    """An encoder and a head for classes. Its config and its name are the encoder's."""

    def __init__(self, encoder: Encoder, labels: Sequence[str]) -> None:
        super().__init__(encoder)
        self.labels = tuple(labels)
        head = ClassHead(width=self.config.d_model, n_labels=len(self.labels), dropout=self.config.dropout)
        self.classes = head.to(encoder.device, encoder.dtype)

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
        return self.classes(self.encoder.pool(tokens, lengths=lengths, **self.marks(tokens, sections)))

    def around(self, encoder: Encoder) -> Self:
        """Another encoder with a new head for the same labels."""
        return type(self)(encoder, self.labels)
