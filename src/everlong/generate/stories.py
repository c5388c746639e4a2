"""Stories that go on from the beginning of a chapter, with what is remembered of the chapters before it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from pydantic import Field

from everlong.config import Config
from everlong.data import Tokenizer
from everlong.data.parts import TokenParts
from everlong.generate.decoding import generate
from everlong.generate.sampling import Sampler
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel

Place = tuple[int, int]
"""A document and the index of one of its parts."""


class StoryOptions(Config):
    """Which stories are written."""

    stories: int = Field(default=4, ge=0)
    """How many, from chapters spread evenly over all but the first of each book."""
    prompt: int = Field(default=64, ge=1)
    """Tokens of a chapter that are read before its story begins."""
    length: int = Field(default=512, ge=1)
    """Tokens of a story."""
    temperature: float = Field(default=0.8, ge=0.0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=1 << 32)


@final
@dataclass(frozen=True, kw_only=True)
class Story:
    """What a model wrote after the beginning of a chapter, and what the author did."""

    place: Place
    prompt: str
    written: str
    original: str


def places(documents: Sequence[TokenParts], options: StoryOptions) -> list[Place]:
    """Parts that are long enough to be compared with a story, as many as are asked for, or fewer; no first one."""
    enough = options.prompt + options.length
    found = [
        (number, index)
        for number, document in enumerate(documents)
        for index in range(1, len(document))
        if document.edges[index + 1] - document.edges[index] >= enough
    ]
    n = min(options.stories, len(found))
    return [found[at * len(found) // n] for at in range(n)]


@final
@dataclass(frozen=True)
class Keeper:
    """Keeps what is remembered before some parts while documents are read (`Watch` of everlong.evaluate.parts)."""

    wanted: Collection[Place]
    kept: dict[Place, Memory] = field(default_factory=dict[Place, Memory])

    def __call__(self, documents: Sequence[int], index: int, memory: Memory) -> None:
        """Keep the lanes of the wanted ones."""
        for lane, number in enumerate(documents):
            if (number, index) in self.wanted:
                self.kept[number, index] = memory.select(torch.tensor([lane]))


def write_story(
    model: AnyLanguageModel,
    tokenizer: Tokenizer,
    documents: Sequence[TokenParts],
    place: Place,
    memory: Memory,
    options: StoryOptions,
) -> Story:
    """Go on from a part's first tokens and what is remembered before them. The seed decides what is written."""
    number, index = place
    tokens = documents[number].tokens[documents[number].part(index)]
    prompt, original = tokens[: options.prompt], tokens[options.prompt : options.prompt + options.length]
    found = generate(
        model,
        [prompt],
        max_new_tokens=options.length,
        sampler=Sampler(temperature=options.temperature),
        seed=options.seed,
        memory=memory,
    )
    return Story(
        place=place,
        prompt=tokenizer.decode(prompt),
        written=tokenizer.decode(found.tokens[0]),
        original=tokenizer.decode(original),
    )
