"""Text to tokens and back, in any language; without loss, but for WordPiece."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from everlong.data.bpe import BPETokenizer
from everlong.data.byte import ByteTokenizer
from everlong.data.bytelevel import TOKENIZER_FILE, Ids, Located, TextStream, TokenArray
from everlong.data.pretrained import PretrainedTokenizer
from everlong.data.sealed import read_sealed
from everlong.data.words import WordTokenizer
from everlong.errors import DamagedFile


@runtime_checkable
class Tokenizer(Protocol):
    """Text to tokens and back. Each token stands for a fixed string of bytes, and decoding joins those.

    Where the tokenizer is `exact`, that undoes encoding. Where not, bytes are counted in the text as it writes it.
    """

    @property
    def name(self) -> str:
        """The kind: ``byte``, ``bpe`` or ``word``, or that of a converted encoder, ``wordpiece`` or ``byte-pairs``."""
        ...

    @property
    def exact(self) -> bool:
        """Whether every text comes back as it was."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids are 0 to ``vocab_size - 1``."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the tokens of a text, in hexadecimal."""
        ...

    @property
    def token_bytes(self) -> Sequence[bytes]:
        """For each id, the bytes it stands for, one or more."""
        ...

    @property
    def byte_lengths(self) -> NDArray[np.int64]:
        """For each id, how many UTF-8 bytes it stands for; ``byte_lengths[ids].sum()`` divides bits per byte."""
        ...

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            DataError: the text has a lone surrogate, which no UTF-8 stands for.
        """
        ...

    def locate(self, text: str) -> Located:
        """The tokens of a text, and the characters that each comes from.

        Raises:
            DataError: as :meth:`encode`.
        """
        ...

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[TokenArray]:
        """The tokens of the joined pieces, in arrays, holding a few megabytes at most. Cuts change nothing.

        Raises:
            DataError: as :meth:`encode`.
        """
        ...

    def decode(self, ids: Ids) -> str:
        """The text of these tokens; bytes that are no UTF-8 become U+FFFD.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        ...

    def stream(self) -> TextStream:
        """A decoder that takes tokens one at a time."""
        ...

    def n_bytes(self, ids: Ids) -> int:
        """How many UTF-8 bytes these tokens stand for.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        ...

    def save(self, folder: str | PathLike[str]) -> None:
        """Write ``tokenizer.json`` into a folder; :func:`load_tokenizer` reads it.

        Raises:
            RunError: the disk is full, or the folder may not be written to.
        """
        ...


def load_tokenizer(folder: str | PathLike[str]) -> Tokenizer:
    """The tokenizer that was saved in this folder.

    Raises:
        DamagedFile: ``tokenizer.json`` is missing, altered, or of a kind that this version does not know.
    """
    path = Path(folder) / TOKENIZER_FILE
    fields = read_sealed(path)
    match fields.get("kind"):
        case "byte":
            return ByteTokenizer()
        case "bpe":
            make = BPETokenizer.from_fields
        case "wordpiece" | "byte-pairs":
            make = PretrainedTokenizer.from_fields
        case "word":
            make = WordTokenizer.from_fields
        case kind:
            raise DamagedFile(
                f"{path} has a tokenizer of kind {kind!r}; known are byte, bpe, word, wordpiece and byte-pairs. "
                "Update Everlong."
            )
    try:
        return make(fields)
    except Exception as error:  # the library raises Exception itself
        raise DamagedFile(f"{path} has no usable vocabulary ({error}). Use another copy of it.") from error
