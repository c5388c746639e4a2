"""Laws of company: lanes and documents do not touch each other (4), and an idle lane does not move (5)."""

import torch

from everlong.testing.judge import same_bits, same_numbers
from everlong.testing.subject import LANES, Subject, poisoned


def law_4_isolated(subject: Subject) -> None:
    """No lane affects another, no document the next, and a NaN in one lane stays there."""
    _lanes_are_alone(subject)
    _nan_stays(subject)
    _documents_are_alone(subject)


def law_5_idle_means_idle(subject: Subject) -> None:
    """A lane of length 0 keeps its memory bit for bit, and padding never changes anything."""
    rng = subject.rng(salt=5)
    time = subject.length // 2
    starts = subject.starts(time, rng=rng)
    starts[0, time - 2] = True
    _, memory = subject(subject.tokens(time, rng=rng), starts=starts)
    tokens, begun = subject.tokens(7, rng=rng), subject.starts(7, rng=rng)
    for lengths in ([0, 4, 7], [7, 0, 0], [0, 0, 0]):
        real = torch.tensor(lengths, device=subject.device)
        logits, after = subject(tokens, memory, starts=begun, lengths=real)
        same_bits(after, memory, what=f"idle lanes of a call with lengths={lengths}", lanes=real == 0)
        padding = torch.arange(7, device=subject.device) >= real[:, None]
        noise, flags = subject.tokens(7, rng=rng), subject.starts(7, rng=rng)
        other, moved = subject(tokens.where(~padding, noise), memory, starts=begun.where(~padding, flags), lengths=real)
        same_numbers(
            other[~padding],
            logits[~padding],
            what=f"logits of real tokens, with lengths={lengths}, when padding changes",
        )
        follow = subject.tokens(5, rng=rng)
        expected, _ = subject(follow, after)
        same_numbers(
            subject(follow, moved)[0], expected, what=f"later logits, with lengths={lengths}, when padding changes"
        )
        wide = torch.cat([tokens, noise], dim=1)
        other, moved = subject(wide, memory, starts=torch.cat([begun, flags], dim=1), lengths=real)
        same_numbers(
            other[:, :7][~padding],
            logits[~padding],
            what=f"logits of real tokens, with lengths={lengths}, when there is more padding",
        )
        same_numbers(
            subject(follow, moved)[0],
            expected,
            what=f"later logits, with lengths={lengths}, when there is more padding",
        )


def _lanes_are_alone(subject: Subject) -> None:
    rng = subject.rng(salt=4)
    time = subject.length
    tokens, starts = subject.tokens(time, rng=rng), subject.starts(time, rng=rng)
    together, _ = subject.read(tokens, starts=starts, cuts=[time // 2])
    for lane in range(LANES):
        only = slice(lane, lane + 1)
        new = subject.init_memory().select(torch.tensor([lane], device=subject.device))
        alone, _ = subject.read(tokens[only], new, starts=starts[only], cuts=[time // 2])
        same_numbers(alone, together[only], what=f"logits of lane {lane} alone, compared with lane {lane} in company,")
    other = tokens.clone()
    other[1] = (other[1] + 1) % subject.vocab_size
    changed, _ = subject.read(other, starts=starts, cuts=[time // 2])
    same_numbers(changed[[0, 2]], together[[0, 2]], what="logits of lanes 0 and 2, when lane 1 reads something else,")


def _nan_stays(subject: Subject) -> None:
    rng = subject.rng(salt=40)
    time = subject.length // 2
    _, memory = subject(subject.tokens(time, rng=rng), starts=subject.starts(time, rng=rng))
    tokens, follow = subject.tokens(time, rng=rng), subject.tokens(5, rng=rng)
    lengths = torch.tensor([time, 3, time - 4], device=subject.device)
    logits, after = subject(tokens, memory, lengths=lengths)
    later, _ = subject(follow, after)
    ill, moved = subject(tokens, poisoned(memory, lanes=[1]), lengths=lengths)
    same_numbers(ill[0], logits[0], what="logits of lane 0, when the memory of lane 1 is NaN,")
    same_numbers(ill[2, : time - 4], logits[2, : time - 4], what="logits of lane 2, when the memory of lane 1 is NaN,")
    ill, _ = subject(follow, moved)
    same_numbers(ill[[0, 2]], later[[0, 2]], what="later logits of lanes 0 and 2, when the memory of lane 1 was NaN,")


def _documents_are_alone(subject: Subject) -> None:
    rng = subject.rng(salt=41)
    time = subject.length // 2
    _, memory = subject(subject.tokens(time, rng=rng))
    tokens, follow = subject.tokens(time, rng=rng), subject.tokens(time, rng=rng)
    for at in (0, 1, time // 2, time - 1):
        starts = torch.zeros_like(tokens, dtype=torch.bool)
        starts[:, at] = True
        logits, after = subject(tokens, memory, starts=starts)
        fresh, kept = subject(tokens[:, at:])
        what = f"logits of a document that begins at token {at} of a chunk, compared with a new lane,"
        same_numbers(logits[:, at:], fresh, what=what)
        same_numbers(subject(follow, after)[0], subject(follow, kept)[0], what=f"later {what}")
        if at == 0:
            healed, _ = subject(tokens, poisoned(memory), starts=starts)
            same_numbers(healed, fresh, what=f"{what} when the memory of the document before is NaN")
