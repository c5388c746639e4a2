"""Contestants that read whole texts of different lengths: one tells their classes, one writes a text from each.

Texts stand side by side, padded on the right; `lengths` says how many tokens of each are real, and is None where all
are.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .case import Case
from .contestant import IGNORE, Contestant

N_CLASSES = 20

Tell = Callable[[Tensor, Tensor | None], Tensor]
"""`(tokens [b t], lengths [b]) -> logits of the classes [b c]`."""


class Teller(Contestant):
    """Tells which class each text is of."""

    def __init__(self, module: nn.Module, case: Case, tell: Tell) -> None:
        self.tell, self.lengths = tell, _lengths(case, case.chunk)
        super().__init__(
            module=module,
            case=case,
            advance=lambda tokens, _memory: (tell(tokens, self.lengths), None),
            loss=lambda tokens, classes, _memory: (F.cross_entropy(tell(tokens, self.lengths), classes), 0.0, None),
        )

    def example(self) -> tuple[Tensor, Tensor]:
        """One text a lane, and its class."""
        return self.random_tokens(self.case.chunk), torch.randint(N_CLASSES, (self.case.lanes,), generator=self.random)


class Writer(Contestant):
    """Writes a text from another: `source` tokens at most are read, `chunk` at most are written."""

    def __init__(
        self,
        module: nn.Module,
        case: Case,
        *,
        foresee: Callable[[Tensor, Tensor | None, Tensor], Tensor],
        nats: Callable[[Tensor, Tensor | None, Tensor, Tensor, Tensor | None], Tensor],
        write: Callable[[Tensor, Tensor | None, int, int], Tensor],
    ) -> None:
        """Say how a model is called.

        Args:
            module: the model.
            case: its sizes.
            foresee: `(source, lengths, tokens read so far) -> logits`.
            nats: `(source, lengths, tokens, targets, lengths of these) -> loss, summed over real targets`.
            write: `(source, lengths, beams, how many tokens) -> tokens`, the likeliest that were found.
        """
        self.foresee, self.nats, self.write = foresee, nats, write
        self.source_lengths, self.lengths = _lengths(case, case.source), _lengths(case, case.chunk)
        super().__init__(module=module, case=case, advance=self._advance, loss=self._loss)

    def example(self) -> tuple[Tensor, Tensor]:
        """A source a lane; a target, with the token before it."""
        return self.random_tokens(self.case.source), self.random_tokens(self.case.chunk + 1)

    def write_text(self) -> None:
        """Read a source a lane, and write as many tokens as a chunk has, whatever they are."""
        self.module.eval()
        with torch.inference_mode():
            source = self.random_tokens(self.case.source)
            self.write(source, self.source_lengths, self.case.beams, self.case.chunk)

    def _advance(self, tokens: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        return self.foresee(source, self.source_lengths, tokens), source

    def _loss(self, source: Tensor, target: Tensor, _memory: None) -> tuple[Tensor, float, None]:
        tokens, targets, count = target[:, :-1], target[:, 1:], target[:, 1:].numel()
        if self.lengths is not None:
            padding = torch.arange(targets.shape[1]) >= self.lengths[:, None]
            targets, count = targets.masked_fill(padding, IGNORE), int(self.lengths.sum())
        return self.nats(source, self.source_lengths, tokens, targets, self.lengths) / count, 0.0, None


def padding_mask(tokens: Tensor, lengths: Tensor | None) -> Tensor | None:
    """What the peers are told of padding: 1 where a token is real; None where all are."""
    return None if lengths is None else (torch.arange(tokens.shape[1]) < lengths[:, None]).long()


def _lengths(case: Case, longest: int) -> Tensor | None:
    return torch.tensor(case.lengths(longest)) if case.spread else None
