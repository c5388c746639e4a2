"""Laws of sources: what an encoder-decoder has read, and what its decoder makes of it."""

import torch
from torch import Tensor

from everlong.errors import ContractViolation
from everlong.memory import Memory
from everlong.models.seq2seq import AnySeq2Seq, Seq2Seq, SourceMemory
from everlong.testing.judge import same_bits, same_numbers
from everlong.testing.subject import LANES, Subject

MOVED = 1e-9
"""A logit that differs by more has seen a change."""
TARGETS = 5
"""Tokens that are decoded after a source."""


def law_11_any_source(subject: Subject) -> None:
    """A source may have any number of tokens from 1 up, and its memory as many slots; the target begins at 0."""
    for slots in [*range(1, 10), 13, 17, 31]:
        source = subject.tokens(slots, rng=subject.rng(salt=slots))
        try:
            memory = _read(subject, source)
            logits = _decoded(subject, memory)
        except Exception as error:
            raise ContractViolation(f"a source of {slots} tokens raised {type(error).__name__}: {error}") from error
        found = (memory.source_slots, memory.source_length.tolist(), memory.position.tolist())
        if found != (slots, [slots] * LANES, [0] * LANES):
            raise ContractViolation(
                f"a memory that has read {slots} tokens says it has {found[0]} slots for sources of {found[1]} tokens "
                f"and stands at {found[2]}"
            )
        if not bool(logits.isfinite().all()):
            raise ContractViolation(f"logits after a source of {slots} tokens are not finite")


def law_12_source_kept(subject: Subject) -> None:
    """Reading writes into nothing it was given and is a function; decoding leaves the source as it is, in every bit."""
    rng = subject.rng(salt=12)
    source, lengths = subject.tokens(9, rng=rng), torch.tensor([9, 4, 0], device=subject.device)
    given = source.clone(), lengths.clone()
    memory = _read(subject, source, lengths)
    if not (torch.equal(source, given[0]) and torch.equal(lengths, given[1])):
        raise ContractViolation("reading wrote into the source or its lengths")
    same_bits(_read(subject, source, lengths), memory, what="a memory whose source was read a second time")
    after: Memory = memory
    for time in (1, 7):
        tokens, starts = subject.tokens(time, rng=rng), subject.starts(time, rng=rng)
        starts[1, 0] = True
        _, after = subject(tokens, after, starts=starts)
        now, was = after.flatten(), memory.flatten()
        for name in ("source_length", *memory.source_axes):
            if not torch.equal(now[name], was[name]):
                raise ContractViolation(f"'{name}', which belongs to the source, changed in a call of {time} tokens")


def law_13_source_padding(subject: Subject) -> None:
    """Padding of a source never changes anything, whatever it holds and however much there is."""
    rng = subject.rng(salt=13)
    source = subject.tokens(9, rng=rng)
    for lengths in ([9, 4, 0], [1, 8, 9], [0, 0, 0]):
        real = torch.tensor(lengths, device=subject.device)
        logits = _decoded(subject, _read(subject, source, real))
        for lane, length in enumerate(lengths):
            if length:
                only = slice(lane, lane + 1)
                alone = _decoded(subject, _read(subject, source[only, :length]), lanes=only)
                what = f"logits after a source of {length} tokens and {9 - length} of padding, compared with none,"
                same_numbers(logits[only], alone, what=what)
        padding = torch.arange(9, device=subject.device) >= real[:, None]
        for more in (0, 6):
            wide = torch.cat([source.where(~padding, subject.tokens(9, rng=rng)), subject.tokens(more, rng=rng)], dim=1)
            memory = _read(subject, wide, real)
            what = f"logits with source lengths={lengths}, when padding changes,"
            same_numbers(_decoded(subject, memory), logits, what=what)
            what = f"logits with source lengths={lengths}, when the slots of padding are NaN,"
            same_numbers(_decoded(subject, _with_nan_padding(memory)), logits, what=what)


def law_14_sources_apart(subject: Subject) -> None:
    """The source of one lane does not affect another lane."""
    rng = subject.rng(salt=14)
    source = subject.tokens(9, rng=rng)
    logits = _decoded(subject, _read(subject, source))
    for lane in range(LANES):
        only = slice(lane, lane + 1)
        alone = _decoded(subject, _read(subject, source[only]), lanes=only)
        same_numbers(alone, logits[only], what=f"logits after the source of lane {lane} alone, compared with company,")
    other = source.clone()
    other[1] = (other[1] + 1) % subject.vocab_size
    changed = _decoded(subject, _read(subject, other))
    same_numbers(changed[[0, 2]], logits[[0, 2]], what="logits of lanes 0 and 2, when the source of lane 1 changes,")


def law_15_source_seen(subject: Subject) -> None:
    """Every token of a source is noticed, from the first token of the target on, and so is the order of the source."""
    source = subject.tokens(9, rng=subject.rng(salt=15))
    source[:, 5] = (source[:, 4] + 1) % subject.vocab_size
    logits = _decoded(subject, _read(subject, source))
    changes: dict[str, Tensor] = {}
    for at in range(9):
        changes[f"token {at} of its source changes"] = source.clone()
        changes[f"token {at} of its source changes"][:, at] = (source[:, at] + 1) % subject.vocab_size
    swapped = source.clone()
    swapped[:, [4, 5]] = source[:, [5, 4]]
    changes["tokens 4 and 5 of its source change places"] = swapped
    for what, other in changes.items():
        gap = (_decoded(subject, _read(subject, other)) - logits).detach().abs().amax(dim=-1)
        if not bool((gap > MOVED).all()):
            raise ContractViolation(f"some token of the target does not notice when {what}")


def law_16_nothing_read(subject: Subject) -> None:
    """A new memory is one that has read a source of no tokens, and its slots are as many as it is asked for."""
    model = _model(subject)
    nothing = torch.zeros(LANES, dtype=torch.int64, device=subject.device)
    read = _read(subject, subject.tokens(6, rng=subject.rng(salt=16)), nothing)
    expected = _decoded(subject, model.init_memory(LANES))
    same_numbers(
        _decoded(subject, read), expected, what="logits after a source of no tokens, compared with a new memory,"
    )
    roomy: SourceMemory = model.init_memory(LANES, source_slots=6)
    if (roomy.source_slots, roomy.nbytes) != (6, read.nbytes):
        raise ContractViolation(
            f"a new memory with room for 6 source tokens has {roomy.source_slots} source slots and {roomy.nbytes} "
            f"bytes, one that has read so many {read.nbytes}"
        )
    same_numbers(_decoded(subject, roomy), expected, what="logits after a new memory with room for a source")


def _model(subject: Subject) -> AnySeq2Seq:
    assert isinstance(subject.owner, Seq2Seq)
    return subject.owner


def _read(subject: Subject, source: Tensor, lengths: Tensor | None = None) -> SourceMemory:
    return _model(subject).read(source, lengths=lengths)


def _decoded(subject: Subject, memory: SourceMemory, *, lanes: slice | None = None) -> Tensor:
    """Logits of what is decoded after a memory: always the same tokens in a lane."""
    tokens = subject.tokens(TARGETS, rng=subject.rng(salt=110))[lanes or slice(None)]
    logits, _ = subject(tokens, memory)
    return logits


def _with_nan_padding(memory: SourceMemory) -> SourceMemory:
    leaves = dict(memory.flatten())
    padding = memory.source_padding()
    if padding is None:
        return memory
    for name, axis in memory.source_axes.items():
        shape = [leaves[name].shape[0], *[1] * (leaves[name].ndim - 1)]
        shape[axis] = memory.source_slots
        leaves[name] = leaves[name].masked_fill(padding.view(shape), torch.nan)
    return type(memory)(**leaves).made_by(memory.maker)
