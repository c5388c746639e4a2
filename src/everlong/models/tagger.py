"""An encoder that tells the tag of every token.

logits = tagger(tokens, lengths=lengths, sections=sections)          [b t c]

Tags are BIO for some types of entities (everlong.data.tags). Each is told by itself, from a hidden state that knows
both sides; that they fit together is seen to where they are read off (everlong.evaluate.tag_path). Transitions are not
learned: windows of a long text are scored apart and put together afterwards, and a learned chain would break there.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from jaxtyping import Float
from torch import Tensor

from everlong.heads import ClassHead
from everlong.models.encoder import Encoder, Sections
from everlong.models.headed import HeadedEncoder
from everlong.shapes import Lengths, Tokens


class Tagger(HeadedEncoder):
    """An encoder and a head for tags. Its config and its name are the encoder's."""

    def __init__(self, encoder: Encoder, types: Sequence[str]) -> None:
        super().__init__(encoder)
        self.types = tuple(types)
        head = ClassHead(width=self.config.d_model, n_labels=1 + 2 * len(self.types), dropout=self.config.dropout)
        self.tags = head.to(encoder.device, encoder.dtype)

    if TYPE_CHECKING:

        def __call__(
            self, tokens: Tokens, *, lengths: Lengths | None = None, sections: Sections | None = None
        ) -> Float[Tensor, "b t c"]:
            """See `forward`."""
            ...

    def forward(
        self, tokens: Tokens, *, lengths: Lengths | None = None, sections: Sections | None = None
    ) -> Float[Tensor, "b t c"]:
        """Unnormalised log-probabilities of the tags of each token.

        Where the encoder has global tokens, a text's first one is global; where it does not read in sections, they are
        left out.
        """
        self.encoder.recompute = self.recompute
        return self.tags(self.encoder(tokens, lengths=lengths, **self.marks(tokens, sections)))

    def around(self, encoder: Encoder) -> Self:
        """Another encoder with a new head for the same types."""
        return type(self)(encoder, self.types)
