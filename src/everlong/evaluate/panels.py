"""What a picture of a trace is made of: images, one row for each channel or slot and one column for each step."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from everlong.evaluate.traced import Traced
from everlong.shapes import IGNORE

Image = NDArray[Any]
Scale = Literal["vectors", "writes", "reads", "usage"]

NOT_ASKED, PAPER, BLACK = (0.949, 0.945, 0.929), (1.0, 1.0, 1.0), (0.13, 0.145, 0.165)
MISSED, FALSE = (0.98, 0.62, 0.7), (0.78, 0.05, 0.25)
"""Ones that were answered 0, and zeros that were answered 1."""


@final
@dataclass(frozen=True, kw_only=True)
class Panel:
    """An image with a title: numbers that a scale makes into colours, or colours."""

    title: str
    image: Image
    scale: Scale
    place: int
    """Its number among those of its scale, the first of which is shown with the scale."""
    of: int
    """How many have its scale."""


@final
@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps, from `first` to before `end`, at which something is asked for, or nothing is."""

    first: int
    end: int
    asked: bool


class AnswerRows(NamedTuple):
    """What should have been answered (`IGNORE` where nothing is asked for), its chance, and what was guessed."""

    wanted: Float[Tensor, "t o"]
    given: Float[Tensor, "t o"]
    guessed: Bool[Tensor, "t o"]


def panels_of(traced: Traced) -> list[Panel]:
    """What was shown, wanted and answered, where vectors were read; then writes, reads and usage."""
    found: list[Panel] = []
    episode, trace = traced.episode, traced.trace
    if episode is not None:
        rows = answer_rows(episode.targets, trace.answers)
        negative = " (numbers below 0 are green)" if bool((episode.inputs < 0).any()) else ""
        found += _panels(
            "vectors",
            {
                f"input vectors{negative}": episode.inputs.numpy().T,
                "wanted answers": answer_image(rows.wanted, rows.wanted > 0.5, rows.wanted),
                "given answers (what is wrong is red)": answer_image(rows.given, rows.guessed, rows.wanted),
            },
        )
    found += _panels("writes", _by_head("write weights", trace.writes))
    found += _panels("reads", _by_head("read weights", trace.reads))
    if trace.usage is not None:
        found += _panels("usage", {"usage of the slots": trace.usage.numpy().T})
    return found


def _panels(scale: Scale, images: dict[str, Image]) -> list[Panel]:
    return [
        Panel(title=title, image=image, scale=scale, place=place, of=len(images))
        for place, (title, image) in enumerate(images.items())
    ]


def _by_head(what: str, weights: Tensor) -> dict[str, Image]:
    heads = weights.shape[1]
    return {
        what if heads == 1 else f"{what}, head {head + 1} of {heads}": weights[:, head].numpy().T
        for head in range(heads)
    }


def answer_rows(targets: Float[Tensor, "t q"], logits: Float[Tensor, "t o"]) -> AnswerRows:
    """A row for each bit, or for each choice."""
    if targets.shape == logits.shape:
        return AnswerRows(wanted=targets, given=logits.sigmoid(), guessed=logits > 0)
    choices = logits.shape[1] // targets.shape[1]
    given = logits.unflatten(1, (-1, choices)).softmax(dim=-1)
    guessed = F.one_hot(given.argmax(dim=-1), choices) > 0
    right = F.one_hot(targets.clamp(min=0).long(), choices).to(targets.dtype)
    wanted = right.where(targets[..., None] != IGNORE, IGNORE)
    return AnswerRows(wanted=wanted.flatten(1), given=given.flatten(1), guessed=guessed.flatten(1))


def answer_image(chances: Tensor, guessed: Tensor, wanted: Tensor) -> Image:
    """Chances as grey, as red where the guess is wrong, and what is not asked for in a tint of paper."""
    ones, guess, targets = (x.numpy().T[..., None] for x in (chances.double(), guessed, wanted))
    grey = PAPER + ones * np.subtract(BLACK, PAPER)
    red = np.where(guess, FALSE, MISSED)
    return np.where(targets == IGNORE, NOT_ASKED, np.where(guess == (targets > 0.5), grey, red))


def phases_of(traced: Traced) -> list[Phase]:
    """Stretches of an episode in which something is asked for, or nothing; none where tokens were read."""
    if traced.episode is None:
        return []
    found: list[Phase] = []
    end = 0
    for asked, steps in groupby(traced.episode.asked.tolist()):
        first, end = end, end + len(list(steps))
        found.append(Phase(first=first, end=end, asked=asked))
    return found
