"""Pairs of texts as examples, and as batches: what is read first, and what is then said token by token.

source     tokens of the source
tokens     a line feed, then the target             what the decoder reads
targets    the target, then a line feed             what it is asked for
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.data.examples import Example, ExampleStore
from everlong.data.pairs import Pair
from everlong.data.tokenizers import Tokenizer
from everlong.shapes import IGNORE, Lengths, Tokens

FIELDS = ("source", "target")


@final
@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Pairs side by side, one a lane, padded on the right."""

    source: Int[Tensor, "b s"]
    source_lengths: Lengths
    tokens: Tokens
    targets: Tokens
    lengths: Lengths

    @property
    def n_targets(self) -> int:
        """Tokens that are asked for."""
        return int(self.lengths.sum())

    @property
    def n_tokens(self) -> int:
        """Tokens that are read, on both sides."""
        return int(self.source_lengths.sum() + self.lengths.sum())

    def to(self, device: torch.device | str) -> "PairBatch":
        """The batch on another device."""
        return PairBatch(
            source=self.source.to(device),
            source_lengths=self.source_lengths.to(device),
            tokens=self.tokens.to(device),
            targets=self.targets.to(device),
            lengths=self.lengths.to(device),
        )


def edge_token(tokenizer: Tokenizer) -> int:
    """The token of a line feed, which stands before a target and after it."""
    (edge,) = tokenizer.encode("\n")
    return edge


def build_pairs(pairs: Iterable[Pair], tokenizer: Tokenizer, folder: Path) -> ExampleStore:
    """Write pairs as examples, and count what is to be said: the line feed at the end of each target too.

    Raises:
        DataError: there are no pairs, or they cannot be read.
        RunError: the folder is in use, or the disk is full.
    """
    about = {"target_tokens": 0, "target_bytes": 0}

    def examples() -> Iterator[dict[str, list[int]]]:
        for pair in pairs:
            target = tokenizer.encode(pair.target)
            about["target_tokens"] += len(target) + 1
            about["target_bytes"] += tokenizer.n_bytes(target) + 1
            yield {"source": tokenizer.encode(pair.source), "target": target}

    return ExampleStore.build(examples(), FIELDS, folder, about=about)


def collate_pairs(examples: Sequence[Example], *, edge: int) -> PairBatch:
    """The batch of some pairs.

    Args:
        examples: with source and target.
        edge: the token that stands before a target and after it.
    """
    sources, targets = ([torch.from_numpy(example[name]) for example in examples] for name in FIELDS)
    mark = torch.tensor([edge])
    return PairBatch(
        source=pad_sequence(sources, batch_first=True),
        source_lengths=_lengths(sources),
        tokens=pad_sequence([torch.cat([mark, target]) for target in targets], batch_first=True),
        targets=pad_sequence([torch.cat([target, mark]) for target in targets], batch_first=True, padding_value=IGNORE),
        lengths=_lengths(targets) + 1,
    )


def _lengths(texts: Sequence[Tensor]) -> Lengths:
    return torch.tensor([len(text) for text in texts])
