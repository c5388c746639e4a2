"""A run's text: read once, held-out part set aside, kept as token stores in the run's folder.

Without ``--valid``, the last twentieth is held out: of the documents where there are 20 or more, else of the text.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import final

from everlong.data import BPETokenizer, ByteTokenizer, Document, Tokenizer, TokenStore, load_tokenizer
from everlong.data.bytelevel import TOKENIZER_FILE
from everlong.data.sealed import read_sealed, write_sealed
from everlong.errors import ConfigError, RunError

HELD_OUT = 20
"""One part in this many is held out."""

STORE, VALID, SOURCE = "store", "valid", "source.json"


@final
@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a run's text comes from and how it becomes tokens."""

    data: tuple[Path, ...]
    valid: tuple[Path, ...]
    separator: str | None
    tokenizer: str
    """``byte`` or ``bpe:SIZE``, where nothing brings one along."""
    start: Path | None = None
    """A folder whose tokenizer is used: that of the weights which the run begins with."""

    def facts(self) -> dict[str, object]:
        """What tells this source from another one, as JSON values: names, sizes and times of the files."""
        return {
            "data": [_stamp(path) for path in self.data],
            "valid": [_stamp(path) for path in self.valid],
            "separator": self.separator,
            "tokenizer": load_tokenizer(self.start).digest if self.start else self.tokenizer,
        }

    def make_tokenizer(self, texts: Callable[[], Iterable[str]]) -> Tokenizer:
        """The tokenizer of the run; one of byte pairs is trained on `texts`.

        Raises:
            ConfigError: the tokenizer is not known.
            DataError: the texts do not suffice for so many byte pairs.
        """
        if self.start:
            return load_tokenizer(self.start)
        size = parse_tokenizer(self.tokenizer)
        return ByteTokenizer() if size is None else BPETokenizer.train(texts(), vocab_size=size)

    @property
    def vocab_size(self) -> int:
        """Tokens that the tokenizer will have.

        Raises:
            ConfigError: it is not known.
        """
        return load_tokenizer(self.start).vocab_size if self.start else parse_tokenizer(self.tokenizer) or 256


@final
@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Text as tokens, ready for training."""

    tokenizer: Tokenizer
    train: TokenStore
    valid: TokenStore | None


def parse_tokenizer(name: str) -> int | None:
    """The vocabulary size of ``bpe:SIZE``; ``None`` for ``byte``.

    Raises:
        ConfigError: it is neither.
    """
    kind, colon, size = name.partition(":")
    if name == "byte":
        return None
    if kind == "bpe" and colon and size.isascii() and size.isdigit() and int(size) > 256:
        return int(size)
    raise ConfigError(
        f"--tokenizer {name} is not known. Give byte, or bpe: and a vocabulary size over 256, for example bpe:8000."
    )


ReadFiles = Callable[[tuple[Path, ...]], Iterator[Document]]
"""Makes documents of files: any text's, or dialogues."""


def build_stores(source: Source, folder: Path, read_files: ReadFiles) -> None:
    """Make ``folder/store`` and, where text is held out, ``folder/valid``; what an earlier start made of it is kept.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: there is no text, or it cannot be read.
        RunError: the folder has a store of other text, or the disk is full.
    """
    if (folder / STORE).exists():
        require_source(source.facts(), folder / STORE)
        return
    shutil.rmtree(folder / VALID, ignore_errors=True)
    read = partial(read_files, source.data)
    cut = None if source.valid else held_out_begins(read())
    tokenizer = source.make_tokenizer(
        lambda: chain.from_iterable(document.pieces for document in text_between(read(), 0, cut))
    )
    held_out = read_files(source.valid) if source.valid else None
    if cut is not None:
        held_out = text_between(read(), cut, None)
    try:
        if held_out is not None:
            TokenStore.build(held_out, tokenizer, folder / VALID)
        store = TokenStore.build(text_between(read(), 0, cut), tokenizer, folder / STORE)
        tokenizer.save(store.folder)
        write_sealed(store.folder / SOURCE, source.facts())
    except BaseException:
        remove_stores(folder, STORE, VALID)
        raise


def remove_stores(folder: Path, *names: str) -> None:
    """Take away the stores of these names, and the folder where nothing else is in it."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def require_source(facts: Mapping[str, object], store: Path) -> None:
    """Make sure that a store was built from the source that has these facts, whatever else was written of it.

    Raises:
        RunError: it was built from something else.
    """
    if not (store / SOURCE).is_file() or not facts.items() <= read_sealed(store / SOURCE).items():
        raise RunError(
            f"{store} was built from other text, or with another tokenizer or separator. "
            "Choose another folder, or remove this one."
        )


def open_stores(folder: Path) -> Corpus:
    """The stores and the tokenizer that `build_stores` made.

    Raises:
        DamagedFile: a file is missing or altered.
    """
    valid = TokenStore.open(folder / VALID) if (folder / VALID).exists() else None
    # A run has its tokenizer too; one that never began has it only beside the tokens.
    home = folder if (folder / TOKENIZER_FILE).exists() else folder / STORE
    return Corpus(tokenizer=load_tokenizer(home), train=TokenStore.open(folder / STORE), valid=valid)


def held_out_begins(documents: Iterable[Document]) -> int | None:
    """How many characters come before the held-out part; ``None`` where the text is too short to spare any."""
    lengths = [sum(len(piece) for piece in document.pieces) for document in documents]
    spare = len(lengths) // HELD_OUT
    cut = sum(lengths[: len(lengths) - spare]) if spare else sum(lengths) - sum(lengths) // HELD_OUT
    return cut if sum(lengths) - cut > 1 else None


def text_between(documents: Iterable[Document], begin: int, end: int | None) -> Iterator[Document]:
    """The documents' parts from character `begin` to `end`, counted over all of them, read as they are asked for."""
    at = 0

    def inside(pieces: Iterable[str]) -> Iterator[str]:
        nonlocal at
        for piece in pieces:
            first, last = max(begin - at, 0), len(piece) if end is None else min(end - at, len(piece))
            at += len(piece)
            if first < last:
                yield piece[first:last]
            if end is not None and at >= end:
                return

    for document in documents:
        if end is not None and at >= end:
            return
        yield Document(document.name, inside(document.pieces))


def _stamp(path: Path) -> list[object]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files if file.exists()]
    return [
        str(path.resolve()),
        len(stats),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    ]
