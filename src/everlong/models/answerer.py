"""An encoder that tells where in a text the answer to a question stands (Devlin et al., 2019, section 4.2).

    logits = answerer(tokens, lengths=lengths, context=context)                      [b t 2]

A row is a question and then a text (everlong.data.asked). One logit of a token says that the answer begins there, the
other that it ends there. Only tokens of the text have them, and the row's first one, which stands for no answer here
(section 4.3); elsewhere they are -inf. The question's tokens are global where the encoder has global ones (Beltagy et
al., 2020, section 4): each sees the whole text, and each token of the text sees the whole question.
"""

from typing import TYPE_CHECKING, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.heads import SpanHead
from everlong.models.encoder import Encoder
from everlong.models.headed import HeadedEncoder
from everlong.shapes import Lengths, Tokens


class Answerer(HeadedEncoder):
    """An encoder and a head for answers. Its config and its name are the encoder's."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.spans = SpanHead(width=self.config.d_model, dropout=self.config.dropout).to(encoder.device, encoder.dtype)

    if TYPE_CHECKING:

        def __call__(
            self, tokens: Tokens, *, context: Int[Tensor, "b 2"], lengths: Lengths | None = None
        ) -> Float[Tensor, "b t 2"]:
            """See `forward`."""
            ...

    def forward(
        self, tokens: Tokens, *, context: Int[Tensor, "b 2"], lengths: Lengths | None = None
    ) -> Float[Tensor, "b t 2"]:
        """Unnormalised log-probabilities of the first and of the last token of the answer.

        Args:
            tokens: ``[b t]``, each row a question and then a text.
            context: where in its row the text begins, and where it ends.
            lengths: how many tokens of each row are real.
        """
        self.encoder.recompute = self.recompute
        place = torch.arange(tokens.shape[1], device=tokens.device)
        asks = place < context[:, :1]
        marks = {"global_mask": asks} if self.encoder.has_global_tokens else {}
        logits = self.spans(self.encoder(tokens, lengths=lengths, **marks))
        may_stand = (place == 0) | (~asks & (place < context[:, 1:]))
        return torch.where(may_stand[..., None], logits, float("-inf"))

    def around(self, encoder: Encoder) -> Self:
        """Another encoder with a new head."""
        return type(self)(encoder)
