"""Laws of the stream: where it is cut does not matter (1), nor what comes later (2), nor how long a piece is (10)."""

import torch
from torch import Tensor

from everlong.errors import ContractViolation
from everlong.memory import Memory
from everlong.testing.judge import same_gradients, same_numbers
from everlong.testing.subject import LANES, Subject


def law_1_split_invariant(subject: Subject) -> None:
    """Whole sequence = any chunking = token by token = ragged lanes: logits, later behaviour, undetached gradients."""
    rng = subject.rng()
    time = subject.length
    tokens, after = subject.tokens(time, rng=rng), subject.tokens(time // 2, rng=rng)
    starts = subject.starts(time, rng=rng)
    whole, memory = subject(tokens, starts=starts)
    later, _ = subject(after, memory)
    gradients = subject.gradients([whole, later]) if subject.has_gradients else {}
    for cuts in [list(range(time)), *(_random_cuts(time, rng) for _ in range(2))]:
        how = "token by token" if len(cuts) == time else f"in chunks cut at {cuts}"
        pieces, kept = subject.read(tokens, starts=starts, cuts=cuts)
        same_numbers(pieces, whole, what=f"logits of a stream read {how}, not at once,")
        again, _ = subject(after, kept)
        same_numbers(again, later, what=f"logits of what follows a stream read {how}, not at once,")
        found = subject.gradients([pieces, again]) if subject.has_gradients else {}
        same_gradients(found, gradients, what=f"read {how}, not at once, with the memory not detached")
    logits, kept = read_ragged(subject, tokens, starts, rng=rng)
    same_numbers(logits, whole, what="logits of lanes that get a random number of tokens in each call")
    again, _ = subject(after, kept)
    same_numbers(again, later, what="logits of what follows lanes that got a random number of tokens in each call")


def law_2_causal(subject: Subject) -> None:
    """Logits depend on their token and earlier ones only, with a memory present too."""
    rng = subject.rng(salt=2)
    time = 16
    past = subject.tokens(time, rng=rng)
    _, memory = subject(past, starts=subject.starts(time, rng=rng))
    tokens, none = subject.tokens(time, rng=rng), torch.zeros(LANES, time, dtype=torch.bool, device=subject.device)
    for known in (None, memory):
        when = "without a memory" if known is None else "with a memory"
        logits, _ = subject(tokens, known)
        for at in (1, 2, 5, 8, time - 1):
            other, begun = tokens.clone(), none.clone()
            other[:, at] = (other[:, at] + 1) % subject.vocab_size
            begun[:, at] = True
            changed, _ = subject(other, known)
            same_numbers(
                changed[:, :at], logits[:, :at], what=f"logits before token {at}, when that token changes {when},"
            )
            changed, _ = subject(tokens, known, starts=begun)
            same_numbers(
                changed[:, :at], logits[:, :at], what=f"logits before token {at}, when a document begins there {when},"
            )


def law_10_any_length(subject: Subject) -> None:
    """A chunk may have any number of tokens from 1 up."""
    rng = subject.rng(salt=10)
    tokens = subject.tokens(subject.length, rng=rng)
    whole, _ = subject(tokens)
    for time in [*range(1, 10), 13, 17, 31]:
        if time >= subject.length:
            continue
        try:
            first, memory = subject(tokens[:, :time])
            last, _ = subject(tokens[:, time:], memory)
        except Exception as error:
            raise ContractViolation(
                f"{time} tokens, then {subject.length - time}: the model raised {type(error).__name__}: {error}"
            ) from error
        same_numbers(torch.cat([first, last], dim=1), whole, what=f"logits of {time} tokens and the rest")


def read_ragged(
    subject: Subject, tokens: Tensor, starts: Tensor, *, rng: torch.Generator
) -> tuple[Tensor, Memory | None]:
    """Logits of a stream of which each lane gets 0 to 7 tokens a call; the padding is noise."""
    lanes, time = tokens.shape
    logits = torch.full((lanes, time, subject.vocab_size), torch.nan, dtype=torch.float64, device=tokens.device)
    memory = None
    done = torch.zeros(lanes, dtype=torch.int64)
    while bool((done < time).any()):
        lengths = torch.minimum(torch.randint(8, (lanes,), generator=rng), time - done)
        width = max(1, int(lengths.max()))
        chunk, begun = subject.tokens(width, rng=rng, lanes=lanes), subject.starts(width, rng=rng, lanes=lanes)
        for lane, (at, n) in enumerate(zip(done.tolist(), lengths.tolist(), strict=True)):
            chunk[lane, :n], begun[lane, :n] = tokens[lane, at : at + n], starts[lane, at : at + n]
        found, memory = subject(chunk, memory, starts=begun, lengths=lengths.to(tokens.device))
        for lane, (at, n) in enumerate(zip(done.tolist(), lengths.tolist(), strict=True)):
            logits[lane, at : at + n] = found[lane, :n].detach()
        done += lengths
    return logits, memory


def _random_cuts(time: int, rng: torch.Generator) -> list[int]:
    count = int(torch.randint(1, 7, (1,), generator=rng))
    return sorted({int(cut) for cut in torch.randint(1, time, (count,), generator=rng)})
