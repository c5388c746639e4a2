"""Made-up drawings for tests: blocks of ink, a pattern for each character."""

import zipfile
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from everlong.data.synthetic import Pictures


def patterns(characters: int, drawings: int, *, seed: int) -> Tensor:
    """Ink of 20 x 20: five by five blocks, which are a character's, and specks, which are a drawing's."""
    rng = torch.Generator().manual_seed(seed)
    blocks = torch.randint(2, (characters, 1, 5, 5), generator=rng).repeat_interleave(4, 2).repeat_interleave(4, 3)
    specks = torch.rand(characters, drawings, 20, 20, generator=rng) < 0.02
    return (blocks ^ specks.long()).to(torch.uint8) * 255


def drawn(characters: int, drawings: int, *, seed: int = 0) -> Pictures:
    """The same as a set of drawings."""
    return Pictures(
        names=tuple(f"character{n:02}" for n in range(characters)),
        counts=torch.full((characters,), drawings),
        drawings=patterns(characters, drawings, seed=seed).flatten(0, 1),
    )


def png(ink: Tensor, *, scale: int = 5) -> bytes:
    """A black and white PNG picture of some ink, larger."""
    paper = (255 - ink).repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    data = BytesIO()
    Image.fromarray(paper.numpy()).convert("1").save(data, "PNG")
    return data.getvalue()


def write_zip(path: Path, characters: int, drawings: int, *, seed: int = 0) -> Path:
    """A zip file laid out as Omniglot's are."""
    with zipfile.ZipFile(path, "w") as archive:
        for n, character in enumerate(patterns(characters, drawings, seed=seed)):
            for m, ink in enumerate(character):
                archive.writestr(f"{path.stem}/Blocks/character{n + 1:02}/{n + 1:04}_{m + 1:02}.png", png(ink))
    return path
