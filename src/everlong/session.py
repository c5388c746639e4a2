"""A model, its tokenizer and one memory, in text.

    session = Session(model, tokenizer)
    session.read("Once upon a time")
    print(session.write(max_new_tokens=200))
    session.save("alice.memory")
    session = Session.load("alice.memory", model, tokenizer)       # tomorrow

A session's memory is that of the text it has read and written, to the character, and its size never changes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np

from everlong.data.tokenizers import Tokenizer
from everlong.errors import DamagedFile, DataError, MemoryMismatch, RunError
from everlong.generate.decoding import check_length_and_seed
from everlong.generate.draft import Draft
from everlong.generate.outlook import (
    Outlook,
    check_evaluating,
    choose,
    follow,
    in_chunks,
    negative_log_likelihood,
    read,
)
from everlong.generate.sampling import PLAIN, RECENT, Sampler
from everlong.generate.text import check_tokenizer, opening
from everlong.memory import Memory, MemoryFile, read_memory, write_memory
from everlong.models.base import AnyLanguageModel


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well a text was foreseen."""

    bits: float
    """Information content of the whole text to the model."""

    n_bytes: int
    """UTF-8 bytes of the text."""

    @property
    def bits_per_byte(self) -> float:
        """0 is perfect foresight, 8 is none at all."""
        return self.bits / self.n_bytes


@final
class Session:
    """One stream of text with a memory: read, write, score, fork, save, load.

    >>> session = Session(model, tokenizer)
    >>> session.read("Alice was beginning to get very tired ")
    >>> twin = session.fork()
    >>> session.write(max_new_tokens=20) == twin.write(max_new_tokens=20)
    True

    Args:
        model: in evaluation mode.
        tokenizer: the one the model was trained with.
        memory: one lane of what was read before, the source of an encoder-decoder say; ``None`` for nothing.

    Raises:
        ConfigError: the model is in training mode, or the tokenizer has another vocabulary.
        MemoryMismatch: the memory has several lanes.
    """

    def __init__(self, model: AnyLanguageModel, tokenizer: Tokenizer, memory: Memory | None = None) -> None:
        check_evaluating(model)
        check_tokenizer(model, tokenizer)
        if memory is not None and memory.lanes != 1:
            raise MemoryMismatch(
                f"a session has one lane, this memory has {memory.lanes}. "
                "Choose one with memory.select(torch.tensor([lane]))."
            )
        self.model = model
        self.tokenizer = tokenizer
        self._memory: Memory = model.init_memory(1) if memory is None else memory
        self._outlook: Outlook | None = None

    @property
    def memory(self) -> Memory:
        """What is remembered of all text so far. It is immutable: keep it, and it stays as it is."""
        return self._memory

    @property
    def tokens_read(self) -> int:
        """How many tokens have gone into the memory, read and written."""
        return int(self._memory.position)

    @property
    def nbytes(self) -> int:
        """Bytes that this session costs, however long its text: memory, next token's scores and last tokens."""
        scores = self.model.config.vocab_size * self.model.dtype.itemsize
        return self._memory.nbytes + scores + RECENT * np.dtype(np.int64).itemsize

    def read(self, text: str | Iterable[str]) -> None:
        """Remember a text, given whole or in pieces (an open file, say), in constant space.

        Raises:
            DataError: the text has half a character (a lone surrogate). The session is then as before.
        """
        pieces = [text] if isinstance(text, str) else text
        outlook, memory = self._outlook, self._memory
        for tokens in in_chunks(self.tokenizer.encode_pieces(pieces)):
            outlook = read(self.model, [tokens], memory, recent=None if outlook is None else outlook.recent)
            memory = outlook.memory
        self._outlook, self._memory = outlook, memory

    def write(
        self,
        *,
        max_new_tokens: int = 256,
        sampler: Sampler = PLAIN,
        seed: int = 0,
        stop: str | Sequence[str] = (),
    ) -> str:
        """Continue the text, remember what was written and return it.

        The same text and seed give the same continuation, whether it is written in one call or in several. A character
        that `max_new_tokens` cuts is returned whole by the next call.

        Args:
            max_new_tokens: how many tokens to write unless a stop string comes first.
            sampler: how tokens are chosen.
            seed: which of the possible continuations.
            stop: strings that end it where they begin; they are neither returned nor remembered.

        Raises:
            ConfigError: a setting is out of range, or the model is in training mode.
            RunError: the model's scores hold NaN or infinity, or the session began from a bare memory and has read
                nothing since.
        """
        return "".join(self.stream(max_new_tokens=max_new_tokens, sampler=sampler, seed=seed, stop=stop))

    def stream(
        self,
        *,
        max_new_tokens: int = 256,
        sampler: Sampler = PLAIN,
        seed: int = 0,
        stop: str | Sequence[str] = (),
    ) -> Iterator[str]:
        """Like `write`, in pieces as they come; what is remembered at each piece is what has been shown.

        One may stop listening at any piece and go on with the session from there.

        Raises:
            ConfigError: as `write`.
            RunError: as `write`; or the session was used before the stream was at its end, and the stream went on.
        """
        check_evaluating(self.model)
        (seed,) = check_length_and_seed(max_new_tokens, seed, lanes=1)
        return self._stream(max_new_tokens, sampler, seed, Draft(self.tokenizer, self._here(), stop), self._memory)

    def score(self, text: str) -> Score:
        """How well this session foresees a text that might come next. It is not remembered: the session stays as it is.

        Raises:
            ConfigError: the model is in training mode.
            DataError: the text is empty, or has half a character (a lone surrogate).
            RunError: the session began from a bare memory and has read nothing since.
        """
        check_evaluating(self.model)
        if text == "":
            raise DataError("there is nothing to score in an empty text. Give at least one character.")
        tokens = np.concatenate(list(self.tokenizer.encode_pieces([text])))
        nats = negative_log_likelihood(self.model, self._here(), tokens)
        return Score(bits=nats / math.log(2), n_bytes=self.tokenizer.n_bytes(tokens))

    def fork(self) -> "Session":
        """A second session with the same past. It costs nothing until one of them goes on."""
        twin = Session(self.model, self.tokenizer, self._memory)
        twin._outlook = self._outlook
        return twin

    def save(self, path: Path | str) -> None:
        """Write all that the rest of this session depends on to a file; `everlong.load_memory` reads it too.

        Raises:
            RunError: the disk is full, or the place may not be written to.
        """
        here = self._outlook
        beside = {} if here is None else {"logits": here.logits, "recent": here.recent}
        notes = {"tokenizer": self.tokenizer.digest}
        write_memory(Path(path), MemoryFile(memory=self._memory, beside=beside, notes=notes))

    @classmethod
    def load(cls, path: Path | str, model: AnyLanguageModel, tokenizer: Tokenizer) -> Self:
        """The session in a file, which goes on exactly as the saved one would have. A bare memory's file will do.

        Raises:
            ConfigError: the model is in training mode, or the tokenizer has another vocabulary.
            DamagedFile: the file is missing, truncated or altered, or is not a memory.
            MemoryMismatch: another model or tokenizer made it, or it has several lanes.
        """
        check_evaluating(model)
        file = read_memory(Path(path), model)
        if file.notes.get("tokenizer", tokenizer.digest) != tokenizer.digest:
            raise MemoryMismatch(
                f"{path} was made with another tokenizer. Load the one from the same run as the model."
            )
        session = cls(model, tokenizer, file.memory)
        if file.beside:
            shapes = {name: tuple(tensor.shape) for name, tensor in file.beside.items()}
            if shapes != {"logits": (1, model.config.vocab_size), "recent": (1, RECENT)}:
                raise DamagedFile(f"{path} is not a session of this version of Everlong. Give a file that it saved.")
            logits, recent = (file.beside[name].to(model.device) for name in ("logits", "recent"))
            session._outlook = Outlook(memory=file.memory, logits=logits, recent=recent)
        return session

    def _here(self) -> Outlook:
        """Where the text stands, its beginning included."""
        if self._outlook is not None:
            return self._outlook
        if self.tokens_read > 0:
            raise RunError(
                "this session began from a bare memory, which does not say what is expected next. "
                "Read some text first, or load a file that session.save wrote."
            )
        return opening(self.model, self.tokenizer, self._memory)

    def _stream(self, max_new_tokens: int, sampler: Sampler, seed: int, draft: Draft, began: Memory) -> Iterator[str]:
        for _ in range(max_new_tokens):
            token = choose(draft.outlook, sampler=sampler, seeds=[seed])
            text = draft.add(int(token), follow(self.model, draft.outlook, token))
            began = self._go_on(draft, began)
            if text:
                yield text
            if draft.stopped:
                return
        rest = draft.release()
        self._go_on(draft, began)
        if rest:
            yield rest

    def _go_on(self, draft: Draft, began: Memory) -> Memory:
        if self._memory is not began:
            raise RunError(
                "the session was used while a stream of it was not at its end. "
                "Let the stream finish or leave it first, or give it a session.fork() of its own."
            )
        self._outlook = draft.settle(self.model)
        self._memory = self._outlook.memory
        return self._memory
