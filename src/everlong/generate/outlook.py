"""Where texts stand: what has been read, and what is expected next. Every token read or written moves it on.

    outlook = read(model, [first, second])               # prompts of different lengths, one lane each
    tokens  = choose(outlook, sampler=sampler, seeds=[0, 0])
    outlook = follow(model, outlook, tokens)

Every token of the text so far is in the memory, the last one too; none waits to be fed. So a memory saved at any moment
knows exactly the text up to then, and nothing is lost or read twice when it goes on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from everlong.data.bytelevel import Ids, TokenArray
from everlong.errors import ConfigError, DataError, RunError
from everlong.generate.sampling import RECENT, Sampler, uniform
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel

CHUNK = 512
"""Tokens of a prompt that are read at a time: a prompt of any length takes the same space."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """All that the rest of a text depends on, lane by lane."""

    memory: Memory
    """What every token so far left behind."""

    logits: Float[Tensor, "b v"]
    """The model's scores for the next token."""

    recent: Int[Tensor, "b n"]
    """The last `RECENT` tokens, newest last; -1 where there was none."""

    @property
    def lanes(self) -> int:
        """How many texts these are."""
        return self.memory.lanes

    def select(self, lanes: Sequence[int]) -> "Outlook":
        """The outlooks of these lanes, in this order. Repeats are allowed."""
        index = torch.tensor(lanes, dtype=torch.int64, device=self.logits.device)
        return Outlook(memory=self.memory.select(index), logits=self.logits[index], recent=self.recent[index])


def join(parts: Sequence[tuple[Sequence[int], Outlook]]) -> Outlook:
    """One outlook out of parts, each with the numbers its lanes shall have in it."""
    order = np.argsort([lane for lanes, _ in parts for lane in lanes]).tolist()
    in_order = order == list(range(len(order)))
    if len(parts) == 1 and in_order:
        return parts[0][1]
    outlooks = [outlook for _, outlook in parts]
    memories = [outlook.memory.flatten() for outlook in outlooks]
    first = outlooks[0].memory
    whole = Outlook(
        memory=type(first)(**{n: torch.cat([m[n] for m in memories]) for n in memories[0]}).made_by(first.maker),
        logits=torch.cat([outlook.logits for outlook in outlooks]),
        recent=torch.cat([outlook.recent for outlook in outlooks]),
    )
    return whole if in_order else whole.select(order)


@torch.inference_mode()
def read(
    model: AnyLanguageModel,
    prompts: Sequence[Ids],
    memory: Memory | None = None,
    *,
    recent: Int[Tensor, "b n"] | None = None,
) -> Outlook:
    """Read one prompt per lane, of any lengths, `CHUNK` tokens at a time.

    Args:
        model: in evaluation mode.
        prompts: token ids; each has at least one.
        memory: where the texts stood before; ``None`` for their beginning.
        recent: the `recent` of the outlook that had this memory; ``None`` if there was none.

    Raises:
        ConfigError: the model is in training mode.
        DataError: there is no prompt, or one is empty.
        ShapeError: a token is outside the vocabulary.
        MemoryMismatch: the memory has other lanes or slots than these prompts and this model need.
    """
    check_evaluating(model)
    if len(prompts) == 0:
        raise DataError("there is no prompt. Give at least one.")
    texts = [np.asarray(prompt, np.int64) for prompt in prompts]
    if 0 in map(len, texts):
        raise DataError(
            f"prompt {list(map(len, texts)).index(0)} is empty, so there is nothing to go on from. "
            "Give it a token, for example a line feed."
        )
    lanes = list(range(len(texts)))
    state: Memory = model.init_memory(len(texts)) if memory is None else memory
    ends = _ends(texts, recent).to(model.device)
    parts: list[tuple[list[int], Outlook]] = []
    at = 0
    while True:
        tokens, lengths = (part.to(model.device) for part in _pad([texts[lane][at : at + CHUNK] for lane in lanes]))
        logits, state = model(tokens, state, lengths=lengths)
        last = logits[torch.arange(len(lanes), device=lengths.device), lengths - 1]
        outlook = Outlook(memory=state, logits=last, recent=ends[lanes])
        at += CHUNK
        going = [row for row, lane in enumerate(lanes) if len(texts[lane]) > at]
        if not going:
            return join([*parts, (lanes, outlook)])
        if len(going) < len(lanes):
            outlook, lanes = retire(outlook, lanes, going=going, parts=parts)
            state = outlook.memory


def retire(
    outlook: Outlook, lanes: list[int], *, going: list[int], parts: list[tuple[list[int], Outlook]]
) -> tuple[Outlook, list[int]]:
    """Put the rows that do not go on among the parts: a lane that is done costs nothing any more."""
    done = sorted(set(range(len(lanes))) - set(going))
    parts.append(([lanes[row] for row in done], outlook.select(done)))
    return outlook.select(going), [lanes[row] for row in going]


@torch.inference_mode()
def follow(model: AnyLanguageModel, outlook: Outlook, tokens: Int[Tensor, "b"]) -> Outlook:
    """The outlook after one more token in every lane."""
    logits, memory = model(tokens[:, None], outlook.memory)
    recent = torch.cat([outlook.recent[:, 1:], tokens[:, None]], dim=1)
    return Outlook(memory=memory, logits=logits[:, -1], recent=recent)


@torch.inference_mode()
def choose(outlook: Outlook, *, sampler: Sampler, seeds: Sequence[int]) -> Int[Tensor, "b"]:
    """The next token of each lane: a function of its own text and its own seed, whatever the other lanes hold.

    Raises:
        RunError: the model's scores hold NaN or infinity.
    """
    position = outlook.memory.position.tolist()
    usable = outlook.logits.amax(dim=-1).isfinite().tolist()
    if not all(usable):
        raise RunError(
            f"after {position[usable.index(False)]} tokens the model's scores hold NaN or infinity, so no token can be "
            "chosen. Use an earlier checkpoint if training diverged; otherwise begin a new session."
        )
    chance = [uniform(seed, index) for seed, index in zip(seeds, position, strict=True)]
    at = torch.tensor(chance, dtype=torch.float64, device=outlook.logits.device)
    return sampler.choose(outlook.logits, recent=outlook.recent, chance=at)


@torch.inference_mode()
def negative_log_likelihood(model: AnyLanguageModel, outlook: Outlook, ids: Ids) -> float:
    """How little a one-lane outlook expects these tokens to come next: nats, summed. None of them is remembered."""
    text = torch.from_numpy(np.asarray(ids, np.int64)).to(model.device)[None]
    scores = outlook.logits.double().log_softmax(dim=-1)
    nats, memory = -scores[0, text[0, 0]].item(), outlook.memory
    for at in range(0, text.shape[1] - 1, CHUNK):
        end = min(at + CHUNK, text.shape[1] - 1)
        losses, memory, _ = model.token_losses(text[:, at:end], text[:, at + 1 : end + 1], memory)
        nats += losses.double().sum().item()
    return nats


def check_evaluating(model: AnyLanguageModel) -> None:
    """Refuse a model whose dropout is on.

    Raises:
        ConfigError: the model is in training mode.
    """
    if model.training:
        raise ConfigError("the model is in training mode, where dropout changes what it says. Call model.eval() first.")


def in_chunks(arrays: Iterable[TokenArray]) -> Iterator[NDArray[np.int64]]:
    """The same tokens in arrays of `CHUNK`, the last one shorter."""
    begun: list[NDArray[np.int64]] = []
    size = 0
    for array in arrays:
        for at in range(0, len(array), CHUNK):
            begun.append(array[at : at + CHUNK].astype(np.int64))
            size += len(begun[-1])
            if size >= CHUNK:
                whole = np.concatenate(begun)
                yield whole[:CHUNK]
                begun, size = [whole[CHUNK:]], size - CHUNK
    if size:
        yield np.concatenate(begun)


def no_recent(lanes: int) -> Int[Tensor, "b n"]:
    """The `recent` of texts that have not begun."""
    return torch.full((lanes, RECENT), -1, dtype=torch.int64)


def _ends(texts: Sequence[NDArray[np.int64]], recent: Int[Tensor, "b n"] | None) -> Int[Tensor, "b n"]:
    past = no_recent(len(texts)) if recent is None else recent.cpu()
    tails = [torch.from_numpy(text[-RECENT:]) for text in texts]
    return torch.stack([torch.cat([row, tail])[-RECENT:] for row, tail in zip(past, tails, strict=True)])


def _pad(texts: Sequence[NDArray[np.int64]]) -> tuple[Int[Tensor, "b t"], Int[Tensor, "b"]]:
    lengths = torch.tensor([len(text) for text in texts])
    tokens = torch.zeros(len(texts), int(lengths.max()), dtype=torch.int64)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = torch.from_numpy(text)
    return tokens, lengths
