"""Pairs of texts as examples, and as batches: what is read first, and what is then said token by token.

source     tokens of the source
tokens     a line feed, then the target             what the decoder reads
targets    the target, then a line feed             what it is asked for

Where sources are documents, an example says where their sections begin, and how many tokens of a query come first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.data.examples import Example, ExampleStore, Values
from everlong.data.pairs import Pair
from everlong.data.sectioned import Sectioned, SectionOptions, in_tokens, side_by_side
from everlong.data.tokenizers import Tokenizer
from everlong.shapes import IGNORE, Lengths, Tokens

FIELDS = ("source", "target")
DOCUMENT_FIELDS = ("source", "sections", "query", "target")


@final
@dataclass(frozen=True, kw_only=True)
class Sources:
    """What is read first, one source a lane, padded on the right."""

    tokens: Int[Tensor, "b s"]
    lengths: Lengths
    sections: Bool[Tensor, "b s"] | None
    """Which tokens begin a section, where that is known."""

    def to(self, device: torch.device | str) -> "Sources":
        """The same on another device."""
        sections = None if self.sections is None else self.sections.to(device)
        return Sources(tokens=self.tokens.to(device), lengths=self.lengths.to(device), sections=sections)


@final
@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Pairs side by side, one a lane, padded on the right."""

    sources: Sources
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
        return int(self.sources.lengths.sum() + self.lengths.sum())

    def to(self, device: torch.device | str) -> "PairBatch":
        """The batch on another device."""
        return replace(
            self,
            sources=self.sources.to(device),
            tokens=self.tokens.to(device),
            targets=self.targets.to(device),
            lengths=self.lengths.to(device),
        )


def edge_token(tokenizer: Tokenizer) -> int:
    """The token of a line feed, which stands before a target and after it."""
    (edge,) = tokenizer.encode("\n")
    return edge


def build_pairs(
    pairs: Iterable[Pair], tokenizer: Tokenizer, folder: Path, *, options: SectionOptions | None = None
) -> ExampleStore:
    """Write pairs as examples, and count what is to be said: the line feed at the end of each target too.

    Args:
        pairs: what to write.
        tokenizer: of both sides.
        folder: where to.
        options: how sources are cut into sections; ``None`` keeps them whole, and says nothing of sections.

    Raises:
        DataError: there are no pairs, or they cannot be read.
        RunError: the folder is in use, or the disk is full.
    """
    about: dict[str, Any] = {"n_pairs": 0, "target_tokens": 0, "target_bytes": 0, "longest_target": 0}
    if options is not None:
        about |= {"options": options.model_dump(), "source_tokens": 0, "left_out": 0}

    def examples() -> Iterator[Mapping[str, Values]]:
        for pair in pairs:
            target = tokenizer.encode(pair.target)
            about["n_pairs"] += 1
            about["target_tokens"] += len(target) + 1
            about["target_bytes"] += tokenizer.n_bytes(target) + 1
            about["longest_target"] = max(about["longest_target"], len(target) + 1)
            if options is None:
                yield {"source": tokenizer.encode(pair.source), "target": target}
                continue
            found = in_tokens(pair.source, tokenizer, options)
            about["source_tokens"] += len(found.tokens) + found.left_out
            about["left_out"] += found.left_out
            query = len(in_tokens(pair.query, tokenizer, options).tokens)
            yield {**document_example(found), "query": [query], "target": target}

    return ExampleStore.build(examples(), FIELDS if options is None else DOCUMENT_FIELDS, folder, about=about)


def document_example(document: Sectioned) -> Example:
    """A source in sections, as an example has it."""
    return {"source": np.array(document.tokens, np.int64), "sections": np.array(document.begins, np.int64)}


def collate_sources(examples: Sequence[Example]) -> Sources:
    """The sources of some examples; in sections where all say where these begin."""
    known = all("sections" in example for example in examples)
    begins = [example["sections"] for example in examples] if known else []
    tokens, lengths, marks = side_by_side([example["source"] for example in examples], begins)
    return Sources(tokens=tokens, lengths=lengths, sections=marks if known else None)


def collate_pairs(examples: Sequence[Example], *, edge: int) -> PairBatch:
    """The batch of some pairs.

    Args:
        examples: with source and target.
        edge: the token that stands before a target and after it.
    """
    targets = [torch.from_numpy(example["target"]) for example in examples]
    mark = torch.tensor([edge])
    return PairBatch(
        sources=collate_sources(examples),
        tokens=pad_sequence([torch.cat([mark, target]) for target in targets], batch_first=True),
        targets=pad_sequence([torch.cat([target, mark]) for target in targets], batch_first=True, padding_value=IGNORE),
        lengths=torch.tensor([len(target) for target in targets]) + 1,
    )
