"""A corpus as tokens on disk: built once in constant memory, mapped instead of loaded.

tokens.bin      every document's tokens, one after another; unsigned, little-endian, as small as the vocabulary allows
documents.bin   where each document begins, then the number of tokens; int64, little-endian
store.json      counts, types, the tokenizer's digest and the checksums of both; sealed
"""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from everlong.data.bytelevel import TokenArray, token_dtype
from everlong.data.mapped import START_TYPE, HashedFile, map_file, read_facts, release_pages, verify_files
from everlong.data.sealed import digest, write_sealed
from everlong.data.source import BLOCK
from everlong.data.staging import staged_folder
from everlong.data.text import Document
from everlong.data.tokenizers import Tokenizer
from everlong.errors import DataError

TOKENS, DOCUMENTS, STORE = "tokens.bin", "documents.bin", "store.json"


class StoreFacts(BaseModel):
    """What ``store.json`` says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    n_tokens: PositiveInt
    n_documents: PositiveInt
    n_bytes: NonNegativeInt
    vocab_size: PositiveInt
    tokenizer: str
    tokenizer_digest: str
    tokens_sha256: str
    documents_sha256: str


@final
class TokenStore:
    """The tokens of a corpus, and where each document begins.

    ``tokens [n_tokens]`` and ``starts [n_documents + 1]`` (the last is ``n_tokens``) are read-only views of the files:
    reading a part of them reads that part of the disk.
    """

    def __init__(self, folder: Path, facts: StoreFacts) -> None:
        self.folder, self.facts = folder, facts
        dtype = token_dtype(facts.vocab_size)
        tokens = map_file(folder / TOKENS, n_bytes=facts.n_tokens * dtype.itemsize)
        starts = map_file(folder / DOCUMENTS, n_bytes=(facts.n_documents + 1) * START_TYPE.itemsize)
        self._maps = (tokens, starts)
        self.tokens: TokenArray = np.frombuffer(tokens, dtype)
        self.starts: NDArray[np.int64] = np.frombuffer(starts, START_TYPE)

    @classmethod
    def build(cls, documents: Iterable[Document], tokenizer: Tokenizer, folder: str | PathLike[str]) -> "TokenStore":
        """Write the documents' tokens to a new folder and open it. Empty documents are left out.

        The folder appears when it is complete; a build that fails or is killed leaves none.

        Raises:
            DataError: there is no text at all, or a document cannot be read.
            RunError: the folder has something in it, another process is building it, or the disk is full.
        """
        folder = Path(folder)
        with staged_folder(folder) as part:
            write_sealed(part / STORE, _write(documents, tokenizer, part).model_dump())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> "TokenStore":
        """Map a store that was built before. Sizes are checked here, contents by :meth:`verify`.

        Raises:
            DamagedFile: a file is missing, altered or of the wrong size.
        """
        folder = Path(folder)
        return cls(folder, read_facts(folder / STORE, StoreFacts, what="a token store"))

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents."""
        return self.facts.n_tokens

    @property
    def n_documents(self) -> int:
        """Documents, none of them empty."""
        return self.facts.n_documents

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of all documents."""
        return self.facts.n_bytes

    @property
    def vocab_size(self) -> int:
        """The tokenizer's vocabulary: every token is below it."""
        return self.facts.vocab_size

    @property
    def digest(self) -> str:
        """SHA-256 of the tokens, the document starts and the tokenizer, in hexadecimal: equal for equal corpora."""
        return digest(self.facts.model_dump())

    def document(self, index: int) -> TokenArray:
        """The tokens of one document, as a view.

        Raises:
            IndexError: there is no such document.
        """
        if not 0 <= index < self.n_documents:
            raise IndexError(f"there is no document {index}: the store has {self.n_documents}, counted from 0.")
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    def require_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Make sure that this tokenizer made the store.

        Raises:
            DataError: another one did.
        """
        if tokenizer.digest != self.facts.tokenizer_digest:
            raise DataError(
                f"{self.folder} was built with another tokenizer ({self.facts.tokenizer}, {self.vocab_size} tokens). "
                "Build a store with this tokenizer, or use the one it was built with."
            )

    def verify(self) -> None:
        """Read all of it and compare checksums.

        Raises:
            DamagedFile: a file has changed since it was built.
        """
        verify_files(self.folder, {TOKENS: self.facts.tokens_sha256, DOCUMENTS: self.facts.documents_sha256})

    def release(self) -> None:
        """Let go of the pages read so far, so that a reader's memory does not grow with the file; views stay valid."""
        release_pages(self._maps)


def _write(documents: Iterable[Document], tokenizer: Tokenizer, folder: Path) -> StoreFacts:
    dtype = token_dtype(tokenizer.vocab_size)
    n_tokens = n_documents = n_bytes = 0
    with (folder / TOKENS).open("wb", BLOCK) as tokens, (folder / DOCUMENTS).open("wb", BLOCK) as starts:
        token_file, start_file = HashedFile(tokens), HashedFile(starts)
        for document in documents:
            begin = n_tokens
            for ids in tokenizer.encode_pieces(document.pieces):
                token_file.write(ids.astype(dtype, copy=False))
                n_tokens += len(ids)
                n_bytes += tokenizer.n_bytes(ids)
            if n_tokens > begin:
                start_file.write(np.array([begin], START_TYPE))
                n_documents += 1
        if not n_tokens:
            raise DataError(
                "there is no text to build a token store from. Give at least one document that is not empty."
            )
        start_file.write(np.array([n_tokens], START_TYPE))
    return StoreFacts(
        n_tokens=n_tokens,
        n_documents=n_documents,
        n_bytes=n_bytes,
        vocab_size=tokenizer.vocab_size,
        tokenizer=tokenizer.name,
        tokenizer_digest=tokenizer.digest,
        tokens_sha256=token_file.sha256,
        documents_sha256=start_file.sha256,
    )
