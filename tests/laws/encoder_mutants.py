# ruff: noqa: ARG002 - a mutant overrides a method and ignores what it is given
"""Encoders that break exactly one thing, named by their mistake."""

from typing import Any

import torch
from torch import nn

from everlong.models.bert import Bert, BertConfig


class FoursOnly(Bert):
    def encode(self, tokens, clock, global_mask):
        if tokens.shape[1] % 4:
            raise ValueError("texts must be a multiple of 4")
        return super().encode(tokens, clock, global_mask)


class OneVector(Bert):
    def forward(self, tokens, *, lengths=None, global_mask=None):
        return super().forward(tokens, lengths=lengths, global_mask=global_mask).mean(dim=1, keepdim=True)


class CentredOnTheBatch(Bert):
    def encode(self, tokens, clock, global_mask):
        hidden = super().encode(tokens, clock, global_mask)
        return hidden - hidden.mean(dim=0)


class SeesPadding(Bert):
    def encode(self, tokens, clock, global_mask):
        return super().encode(tokens, AllReal(clock), global_mask)


class CountsFromTheEnd(Bert):
    """Positions that depend on how wide the call is."""

    def encode(self, tokens, clock, global_mask):
        hidden = super().encode(tokens, clock, global_mask)
        return hidden * (1 + torch.arange(tokens.shape[1]).flip(0) / 100)[:, None]


class LeavesPaddingAsItIs(Bert):
    def forward(self, tokens, *, lengths=None, global_mask=None):
        hidden = super().forward(tokens, lengths=lengths, global_mask=global_mask)
        return hidden + 1


class LooksBackOnly(Bert):
    def encode(self, tokens, clock, global_mask):
        rows = [super(LooksBackOnly, self).encode(tokens[:, : t + 1], Upto(t + 1), None) for t in range(clock.time)]
        return torch.cat([row[:, -1:] for row in rows], dim=1)


class LooksAheadOnly(Bert):
    def encode(self, tokens, clock, global_mask):
        rows = [
            super(LooksAheadOnly, self).encode(tokens[:, t:], Upto(clock.time - t), None) for t in range(clock.time)
        ]
        return torch.cat([row[:, :1] for row in rows], dim=1)


class BagOfTokens(Bert):
    """Not told where its tokens stand."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        for layer in self.layers:
            layer.rotary = None  # type: ignore[assignment]


class SeesFurtherThanItSays(Bert):
    class Config(BertConfig):
        @property
        def reach(self) -> int:
            return 3


class AnswersWithTheMaskSymbol(Bert):
    def logits(self, tokens, *, lengths=None, global_mask=None):
        logits = super().logits(tokens, lengths=lengths, global_mask=global_mask)
        return nn.functional.pad(logits, (0, 1))


class LosesItsWay(Bert):
    """The losses are not those of the logits."""

    def token_losses(self, tokens, targets, *, lengths=None, global_mask=None):
        return super().token_losses(tokens, targets.roll(1, dims=1), lengths=lengths, global_mask=global_mask)


class LossEverywhere(Bert):
    def token_losses(self, tokens, targets, *, lengths=None, global_mask=None):
        return super().token_losses(tokens, targets, lengths=lengths, global_mask=global_mask) + 1e-3 * (targets < 0)


class NoGlobalTokensAtAll(Bert):
    """Says it has them, and then does as if there were none, in a window of one token to each side."""

    has_global_tokens = True
    margin = 1

    def encode(self, tokens, clock, global_mask):
        return super().encode(tokens, Upto(1), None) if clock.time == 1 else self.windows(tokens)

    def windows(self, tokens):
        seen = []
        time = tokens.shape[1]
        for t in range(time):
            first, last = max(0, t - self.margin), min(time, t + self.margin + 1)
            seen.append(super().encode(tokens[:, first:last], Upto(last - first), None)[:, t - first])
        return torch.stack(seen, dim=1)


class DeafGlobalTokens(NoGlobalTokensAtAll):
    """Global tokens are seen by all and see their window only."""

    def encode(self, tokens, clock, global_mask):
        hidden = super().encode(tokens, clock, None)
        if global_mask is None:
            return hidden
        return hidden + (self.embedding(tokens) * global_mask[..., None]).sum(dim=1, keepdim=True)


class MaskOfNothing(Bert):
    """Counts a mask without a token as something."""

    has_global_tokens = True

    def forward(self, tokens, *, lengths=None, global_mask=None):
        hidden = super().forward(tokens, lengths=lengths, global_mask=global_mask)
        return hidden if global_mask is None else 2 * hidden


class PoolsPadding(Bert):
    """The mean over the call's width."""

    def sum_up(self, tokens, clock, global_mask, sections):
        return self.encode(tokens, clock, global_mask).mean(dim=1)


class PoolsNothing(Bert):
    def sum_up(self, tokens, clock, global_mask, sections):
        return 0 * super().sum_up(tokens, clock, global_mask, sections)


class PoolsWords(Bert):
    def pool(self, tokens, *, lengths=None, global_mask=None):
        return self(tokens, lengths=lengths, global_mask=global_mask)


class EmptyIsSomething(Bert):
    def pool(self, tokens, *, lengths=None, global_mask=None):
        return super().pool(tokens, lengths=lengths, global_mask=global_mask) + 1


class UnusedParameter(Bert):
    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.spare = nn.Linear(2, 2)


class Noisy(Bert):
    def encode(self, tokens, clock, global_mask):
        return super().encode(tokens, clock, global_mask) + 1e-6 * torch.rand(())


class InfiniteGradient(Bert):
    def token_losses(self, tokens, targets, *, lengths=None, global_mask=None):
        losses = super().token_losses(tokens, targets, lengths=lengths, global_mask=global_mask)
        return losses + (0 * losses).sqrt()


class AllReal:
    """The clock of a text, without its end."""

    def __init__(self, clock: Any) -> None:
        self.position, self.time, self.valid, self.lengths = clock.position, clock.time, None, None


class Upto:
    """As much of a clock as `Bert` asks for, of a text of so many tokens."""

    def __init__(self, time: int) -> None:
        self.time, self.valid, self.lengths = time, None, None
