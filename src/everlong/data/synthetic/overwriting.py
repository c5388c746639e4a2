"""Multi-query recall of what was assigned last, the forgetting recall of the Zoology code (Arora et al., 2024).

    k1 v1 k2 v2 ... kn vn  k2 w2  k5 w5  .  k2 .  .  k1 .        shown; a dot is a token that says nothing
                                            w2       v1          asked for

Pairs are shown, some keys are shown again with other values, and then all keys are asked for as in multi-query recall
(the module multi_query). All values of a sequence differ, so that an old value is never right: in the published code a
new one may equal it by chance, because it is compared with another key's.
"""

from typing import Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.multi_query import MultiQueryRules, interleaved, require_room
from everlong.data.synthetic.rules import Episode, Sizes, distinct


@final
class MultiQueryOverwrite(MultiQueryRules):
    """Say which value stood beside this key last."""

    name = "multi-query-overwrite"

    updates: int = Field(default=2, ge=1)
    """Keys that are assigned a second time."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.updates > self.pairs:
            raise ValueError(f"updates={self.updates} are more than pairs={self.pairs}; give as many or fewer.")
        require_room(self.length, shown=self.pairs + self.updates, asked=self.pairs)
        if self.pairs + self.updates > self.symbols // 2 - 1:
            raise ValueError(
                f"symbols={self.symbols} are too few for pairs={self.pairs} and updates={self.updates}: "
                f"{2 * (self.pairs + self.updates) + 2} do."
            )
        return self

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"length": self.length, "pairs": self.pairs, "updates": self.updates}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Pairs, other values for some of their keys, then all keys again at gaps."""
        pairs, updates = sizes["pairs"], sizes["updates"]
        keys, values = self.draw_keys(rng, pairs), self.draw_values(rng, pairs + updates)
        said, last = 1 + 2 * torch.arange(pairs + updates), torch.arange(pairs)
        changed = distinct(rng, updates, below=pairs)
        last[changed] = pairs + torch.arange(updates)
        shown = interleaved(torch.cat([keys, keys[changed]]), values)
        return self.ask(rng, shown, keys=keys, values=values[last], said=said[last], length=sizes["length"])

    def trials(self) -> tuple[Sizes, ...]:
        """As in training; twice as long with twice as many pairs and updates; and four times."""
        usual = {"length": self.length, "pairs": self.pairs, "updates": self.updates}
        fits = [n for n in (1, 2, 4) if n * (self.pairs + self.updates) < self.symbols // 2]
        return tuple({name: n * size for name, size in usual.items()} for n in fits)
