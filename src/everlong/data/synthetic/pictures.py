"""Drawings of characters: read from the PNG files that Omniglot is distributed as, kept in one file of a run.

Every folder of PNG files is a character, and every file in it a drawing of it, in a zip file or on disk. Drawings are
shrunk to 20 x 20 by the mean over areas; paper is 0 and ink 255.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from everlong.errors import ConfigError, DamagedFile, DataError
from everlong.storage import read_tensors, seal, write_tensors

SIDE = 20
"""Rows and columns of a drawing."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Drawings of characters, those of each character together."""

    names: tuple[str, ...]
    """What each character is called."""
    counts: Int[Tensor, "c"]
    """How many drawings of each there are."""
    drawings: UInt8[Tensor, "n y x"]

    @property
    def digest(self) -> str:
        """SHA-256 of the drawings and of which belong together, in hexadecimal."""
        return seal({"counts": self.counts, "drawings": self.drawings}, {})

    @property
    def fewest(self) -> int:
        """Drawings of the character with the fewest."""
        return int(self.counts.min())

    def of(self, character: int) -> UInt8[Tensor, "n y x"]:
        """The drawings of a character."""
        first = int(self.counts[:character].sum())
        return self.drawings[first : first + int(self.counts[character])]

    def between(self, first: int, last: int) -> "Pictures":
        """The characters from `first` on, before `last`."""
        begin, end = int(self.counts[:first].sum()), int(self.counts[:last].sum())
        return Pictures(names=self.names[first:last], counts=self.counts[first:last], drawings=self.drawings[begin:end])


def read_pictures(paths: Sequence[Path]) -> Pictures:
    """The drawings in zip files and folders; characters and drawings are in the order of their names.

    Raises:
        ConfigError: Pillow is not installed.
        DataError: a file is missing, not a zip file or damaged, or holds no PNG files.
    """
    characters: dict[tuple[int, str], list[UInt8[Tensor, "y x"]]] = {}
    for n, path in enumerate(paths):
        before = len(characters)
        for name, data in _png_files(path):
            characters.setdefault((n, str(name.parent)), []).append(shrink(data, f"{name} in {path}"))
        if len(characters) == before:
            raise DataError(f"{path} holds no PNG files. Give a zip file or a folder of drawings, as Omniglot's are.")
    return Pictures(
        names=tuple(name for _, name in characters),
        counts=torch.tensor([len(drawings) for drawings in characters.values()]),
        drawings=torch.stack([drawing for drawings in characters.values() for drawing in drawings]),
    )


def shrink(data: bytes, place: str) -> UInt8[Tensor, "y x"]:
    """The ink of a PNG picture, 20 x 20.

    Raises:
        ConfigError: Pillow is not installed.
        DataError: it is no such picture.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ConfigError(
            'reading pictures needs Pillow, which is not installed. Run pip install "everlong[pictures]".'
        ) from None
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{place} is no PNG picture, or is damaged. Take it out, or use another copy of it.") from error
    return torch.from_numpy(255 - np.asarray(small))


def _png_files(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Names and contents, those of a folder relative to it."""
    if not path.is_dir():
        yield from _png_files_of_zip(path)
        return
    for file in sorted(path.rglob("*")):
        name = PurePosixPath(path.name) / file.relative_to(path).as_posix()
        if _is_drawing(name) and file.is_file():
            yield name, file.read_bytes()


def _png_files_of_zip(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}. Give a zip file or a folder of drawings.") from error
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is not a zip file, or is damaged. Give a zip file or a folder of drawings.") from error
    with archive:
        for name in sorted(name for name in archive.namelist() if _is_drawing(PurePosixPath(name))):
            try:
                data = archive.read(name)
            except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                raise DataError(f"{name} in {path} cannot be unpacked ({error}). Use another copy of it.") from error
            yield PurePosixPath(name), data


def _is_drawing(name: PurePosixPath) -> bool:
    """Whether it is a PNG file, and not what some systems put beside one under its name."""
    return name.suffix.lower() == ".png" and not name.name.startswith("._")


def save_pictures(path: Path, **sets: Pictures) -> None:
    """Write some sets of drawings, by name, as one sealed file.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    tensors: dict[str, Tensor] = {}
    for name, pictures in sets.items():
        tensors |= {f"{name}.counts": pictures.counts, f"{name}.drawings": pictures.drawings}
    write_tensors(path, tensors, {name: json.dumps(pictures.names) for name, pictures in sets.items()})


def load_pictures(path: Path, *names: str) -> tuple[Pictures, ...]:
    """The sets of drawings of these names.

    Raises:
        DamagedFile: the file is missing or altered, or holds something else.
    """
    tensors, header = read_tensors(path)
    if not set(names) <= set(header):
        raise DamagedFile(f"{path} does not hold drawings for {' and '.join(names)}. Use another copy of it.")
    told: dict[str, Any] = {name: json.loads(header[name]) for name in names}
    return tuple(
        Pictures(names=tuple(told[name]), counts=tensors[f"{name}.counts"], drawings=tensors[f"{name}.drawings"])
        for name in names
    )
