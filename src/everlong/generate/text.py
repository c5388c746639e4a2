"""Tokens as text while they come: characters in one piece, and stop strings that never show, not even in part."""

from collections.abc import Sequence
from typing import final

from jaxtyping import Int
from torch import Tensor

from everlong.data.bytelevel import TextStream
from everlong.data.tokenizers import Tokenizer
from everlong.errors import ConfigError, DataError
from everlong.generate.decoding import check_length_and_seed, decode
from everlong.generate.outlook import Outlook, join, no_recent, read
from everlong.generate.sampling import PLAIN, Sampler
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel

UNFINISHED = 3
"""Bytes, and so tokens, that an unfinished UTF-8 character has at most."""


def generate_texts(
    model: AnyLanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 256,
    sampler: Sampler = PLAIN,
    seed: int | Sequence[int] = 0,
    stop: str | Sequence[str] = (),
) -> list[str]:
    """Continue many texts in one batch: for each prompt, what a session of its own would write after reading it.

    Args:
        model: in evaluation mode.
        tokenizer: the one the model was trained with.
        prompts: of any lengths; an empty one begins a new text.
        max_new_tokens: how many tokens are written after each prompt unless it is stopped.
        sampler: how tokens are chosen.
        seed: one for all, or one a prompt.
        stop: strings that end a text where they begin.

    Raises:
        ConfigError: a setting is out of range, the tokenizer has another vocabulary, or the model is in training mode.
        DataError: there is no prompt, or one is no valid text.
        RunError: the model's scores hold NaN or infinity.
    """
    check_tokenizer(model, tokenizer)
    stops = [StopStrings(stop) for _ in prompts]
    seeds = check_length_and_seed(max_new_tokens, seed, lanes=len(prompts))
    outlook = _read_texts(model, tokenizer, prompts)
    streams = [text_stream(tokenizer, row) for row in outlook.recent]
    written: list[list[str]] = [[] for _ in prompts]

    def accept(lane: int, token: int) -> bool:
        written[lane].append(stops[lane].push(streams[lane].push(token)))
        return not stops[lane].met

    decode(model, outlook, max_new_tokens=max_new_tokens, sampler=sampler, seed=seeds, accept=accept)
    return ["".join(pieces) + rest.release() for pieces, rest in zip(written, stops, strict=True)]


def opening(model: AnyLanguageModel, tokenizer: Tokenizer, memory: Memory | None = None) -> Outlook:
    """The outlook of a text that has not begun: nothing is remembered, and expected is what follows a line feed.

    Models learn to predict every token of a document but the first, so the first needs something to follow. The line
    feed itself is not part of the text.

    Args:
        model: in evaluation mode.
        tokenizer: the one the model was trained with.
        memory: one lane that has read a source and nothing else; ``None`` for nothing.
    """
    new: Memory = model.init_memory(1) if memory is None else memory
    after = read(model, [tokenizer.encode("\n")], new)
    return Outlook(memory=new, logits=after.logits, recent=no_recent(1).to(model.device))


def text_stream(tokenizer: Tokenizer, recent: Int[Tensor, "n"]) -> TextStream:
    """A decoder that goes on after these tokens, be it in the middle of a character."""
    stream = tokenizer.stream()
    for token in recent[-UNFINISHED:].tolist():
        if token >= 0:
            stream.push(token)
    return stream


def check_tokenizer(model: AnyLanguageModel, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer whose ids are not the model's.

    Raises:
        ConfigError: the vocabularies have different sizes.
    """
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ConfigError(
            f"the tokenizer '{tokenizer.name}' has {tokenizer.vocab_size} tokens, the model {model.config.vocab_size}. "
            "Use the tokenizer the model was trained with."
        )


@final
class StopStrings:
    """Text in, text out, up to the first stop string; what may turn out to begin one is held back until decided.

    The string that ends first counts, so the result does not depend on the pieces the text came in.

    Args:
        stop: one string or several; none never stops.

    Raises:
        ConfigError: a stop string is empty.
    """

    def __init__(self, stop: str | Sequence[str]) -> None:
        self._stops = (stop,) if isinstance(stop, str) else tuple(stop)
        if "" in self._stops:
            raise ConfigError("a stop string is empty and would stop before the first token. Leave it out.")
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.met = False
        """Whether a stop string was found; nothing comes out any more."""

    def push(self, text: str) -> str:
        """The text that is decided now."""
        if self.met:
            return ""
        text = self._held + text
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.met, self._held = True, ""
            return text[: min(found)[1]]
        longest = min(len(text), self._longest - 1)
        held = next((n for n in range(longest, 0, -1) if self._may_begin(text[-n:])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def release(self) -> str:
        """What was held back, when nothing more will come."""
        held, self._held = self._held, ""
        return held

    def _may_begin(self, end: str) -> bool:
        return any(stop.startswith(end) for stop in self._stops)


def _read_texts(model: AnyLanguageModel, tokenizer: Tokenizer, prompts: Sequence[str]) -> Outlook:
    if len(prompts) == 0:
        raise DataError("there is no prompt. Give at least one.")
    given = [lane for lane, prompt in enumerate(prompts) if prompt]
    empty = [lane for lane, prompt in enumerate(prompts) if not prompt]
    parts: list[tuple[list[int], Outlook]] = []
    if given:
        parts.append((given, read(model, [tokenizer.encode(prompts[lane]) for lane in given])))
    if empty:
        parts.append((empty, opening(model, tokenizer).select([0] * len(empty))))
    return join(parts)
