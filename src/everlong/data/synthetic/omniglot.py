"""One-shot classification of drawn characters (Santoro et al., 2016, arXiv:1605.06065, section 4), on Omniglot's files.

An episode shows drawings of a few classes, so many of each, in random order. A class is a character, turned by a random
number of quarters, which makes it another class in another episode. Classes are numbered anew for each episode. At
every step a drawing is shown beside the number of the one before it, one-hot (at the first step, nothing); asked for:
its own number. A mark says how many drawings of its class have been shown, this one included: at 1 there is only
guessing.

    input   20 x 20 numbers from 0 (paper) to 1 (ink), then the number before, one-hot

In training, each drawing is turned by up to `max_turn` degrees and shifted by up to `max_shift` places each way, evenly
(the paper gives no amounts). Measured are other characters than those of training, as they were drawn.
"""

from pathlib import Path
from typing import ClassVar, Self, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, PrivateAttr
from torch import Tensor

from everlong.data.synthetic.pictures import SIDE, Pictures, load_pictures, save_pictures
from everlong.data.synthetic.rules import Episode, Rules, Sizes
from everlong.errors import DataError

PICTURES = "pictures.safetensors"
"""The drawings of a run, in its folder."""


@final
class Omniglot(Rules):
    """Say which class a drawing is of, having seen few or none of it."""

    name = "omniglot"
    mark: ClassVar[str] = "instance"

    classes: int = Field(default=5, ge=2)
    """Classes of an episode."""
    instances: int = Field(default=10, ge=1)
    """Drawings of each class."""
    max_turn: float = Field(default=10.0, ge=0.0, le=45.0)
    """Degrees that a drawing is turned by at most."""
    max_shift: float = Field(default=2.0, ge=0.0, lt=SIDE)
    """Rows and columns that it is shifted by at most."""

    _pictures: tuple[Pictures, Pictures] | None = PrivateAttr(default=None)

    @property
    def pictures(self) -> tuple[Pictures, Pictures]:
        """What is trained on, and what is held out.

        Raises:
            DataError: there is nothing yet.
        """
        if self._pictures is None:
            raise DataError("task=omniglot is drawn from pictures, and has none. Give them by with_pictures().")
        return self._pictures

    def with_pictures(self, trained: Pictures, held_out: Pictures) -> Self:
        """The same rules for these pictures.

        Raises:
            DataError: there are too few characters for an episode, or drawings of one.
        """
        for role, pictures in {"training": trained, "held-out": held_out}.items():
            if len(pictures.names) < self.classes:
                raise DataError(
                    f"{len(pictures.names)} {role} characters are too few for episodes of classes={self.classes}. "
                    "Give more characters, each a folder of PNG files, or fewer classes."
                )
            if pictures.fewest < self.instances:
                name = pictures.names[int(pictures.counts.argmin())]
                raise DataError(
                    f"there are {pictures.fewest} drawings of {name}, and instances={self.instances} of each class are "
                    "shown. Give more drawings, or fewer instances."
                )
        bound = self.model_copy()
        bound._pictures = (trained, held_out)
        return bound

    def replace(self, **changes: object) -> Self:
        """These rules with some fields changed, for the same pictures."""
        changed = super().replace(**changes)
        return changed if self._pictures is None else changed.with_pictures(*self._pictures)

    def measured(self) -> Self:
        """Held-out characters, as they were drawn."""
        _, held_out = self.pictures
        return self.replace(max_turn=0.0, max_shift=0.0).with_pictures(held_out, held_out)

    def sources(self) -> dict[str, str]:
        """Digests of the drawings."""
        trained, held_out = self.pictures
        return {"pictures": trained.digest, "held_out": held_out.digest}

    def keep(self, folder: Path) -> None:
        """Write the drawings to the folder of a run.

        Raises:
            RunError: the disk is full.
        """
        trained, held_out = self.pictures
        save_pictures(folder / PICTURES, trained=trained, held_out=held_out)

    def kept_in(self, folder: Path) -> Self:
        """These rules for the drawings of a run.

        Raises:
            DamagedFile: the file is missing or altered.
            DataError: the drawings do not suffice for these rules.
        """
        trained, held_out = load_pictures(folder / PICTURES, "trained", "held_out")
        return self.with_pictures(trained, held_out)

    @property
    def input_size(self) -> int:
        """A drawing and a number."""
        return SIDE * SIDE + self.classes

    @property
    def output_size(self) -> int:
        """The classes."""
        return self.classes

    @property
    def choices(self) -> int:
        """The classes."""
        return self.classes

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"instances": self.instances}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Drawings in random order, each beside the number of the one before."""
        pictures, instances = self.pictures[0], sizes["instances"]
        characters = torch.randperm(len(pictures.names), generator=rng)[: self.classes].tolist()
        turns = torch.randint(4, (self.classes,), generator=rng).tolist()
        drawings: list[Tensor] = []
        for character, turn in zip(characters, turns, strict=True):
            every = pictures.of(character)
            drawings.append(every[torch.randperm(len(every), generator=rng)[:instances]].rot90(turn, (1, 2)))
        order = torch.randperm(self.classes * instances, generator=rng)
        numbers = torch.arange(self.classes).repeat_interleave(instances)[order]
        shown = disturb(rng, torch.cat(drawings)[order].float() / 255, max_turn=self.max_turn, max_shift=self.max_shift)
        one_hot = F.one_hot(numbers, self.classes)
        before = torch.cat([one_hot.new_zeros(1, self.classes), one_hot[:-1]]).float()
        return Episode(
            inputs=torch.cat([shown.flatten(1), before], dim=1),
            targets=numbers[:, None].float(),
            marks=(one_hot.cumsum(dim=0) * one_hot).sum(dim=1),
        )

    @property
    def largest(self) -> Sizes:
        """Always the same."""
        return {"instances": self.instances}

    def trials(self) -> tuple[Sizes, ...]:
        """Twice as many drawings of each class, as far as there are so many."""
        _, held_out = self.pictures
        return ({"instances": min(2 * self.instances, held_out.fewest)},)


def disturb(
    rng: torch.Generator, drawings: Float[Tensor, "n y x"], *, max_turn: float, max_shift: float
) -> Float[Tensor, "n y x"]:
    """Each drawing turned by up to so many degrees about its middle, and shifted, by amounts of its own.

    Between four places, ink is interpolated; beyond the edge is paper.
    """
    if not max_turn and not max_shift:
        return drawings
    angle, right, down = (2 * torch.rand(3, len(drawings), generator=rng) - 1).unbind()
    angle = torch.deg2rad(angle * max_turn)
    # The sampler's coordinates go from -1 to 1 over all places.
    right, down = (shift * max_shift * 2 / SIDE for shift in (right, down))
    rows = torch.stack([angle.cos(), -angle.sin(), right, angle.sin(), angle.cos(), down], dim=-1)
    grid = F.affine_grid(rows.view(-1, 2, 3), [len(drawings), 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(drawings[:, None], grid, align_corners=False)[:, 0]
