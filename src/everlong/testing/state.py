"""Laws of the memory: it keeps its shape (3), a call leaves it as it was (6), and a new one says nothing (7)."""

import torch
from torch import Tensor

from everlong.errors import ContractViolation
from everlong.memory import Memory
from everlong.testing.judge import same_bits, same_numbers
from everlong.testing.subject import Subject, poisoned


def law_3_constant(subject: Subject) -> None:
    """Shapes, types, devices and contiguity of the memory never change, and its bytes are known beforehand."""
    for dtype in {torch.float64, subject.dtype}:
        model = subject.in_type(dtype)
        rng = subject.rng(salt=3)
        _lanes_come_first(model)
        new = model.init_memory()
        layout = _layout(new)
        memory: Memory | None = None
        for call, (time, lengths) in enumerate(
            [(1, None), (7, None), (5, [0, 2, 5]), (3, [0, 0, 0]), (subject.length, None)]
        ):
            tokens, starts = model.tokens(time, rng=rng), model.starts(time, rng=rng)
            real = None if lengths is None else torch.tensor(lengths, device=subject.device)
            _, memory = model(tokens, memory, starts=starts if call % 2 else None, lengths=real)
            for name, was in layout.items():
                now = _layout(memory).get(name)
                if now != was:
                    raise ContractViolation(f"'{name}' of a new memory is {was}, after {call + 1} calls it is {now}")
            if memory.nbytes != new.nbytes:
                raise ContractViolation(f"a new memory has {new.nbytes} bytes, after {call + 1} calls {memory.nbytes}")


def law_6_pure(subject: Subject) -> None:
    """A call never writes into what it was given."""
    rng = subject.rng(salt=6)
    time = subject.length // 2
    _, memory = subject(subject.tokens(time, rng=rng))
    for width, lengths in ((1, None), (time, None), (6, [0, 2, 6])):
        given = memory.map(torch.clone)
        tokens, starts = subject.tokens(width, rng=rng), subject.starts(width, rng=rng)
        real = None if lengths is None else torch.tensor(lengths, device=subject.device)
        said = {"tokens": tokens.clone(), "starts": starts.clone()}
        subject(tokens, memory, starts=starts, lengths=real)
        subject(tokens, memory)
        same_bits(memory, given, what=f"the memory given to a call of {width} tokens")
        for name, now in (("tokens", tokens), ("starts", starts)):
            if not torch.equal(now, said[name]):
                raise ContractViolation(f"a call of {width} tokens wrote into its {name}")


def law_7_inert_when_new(subject: Subject) -> None:
    """Whatever the floating leaves of a new memory hold, nothing changes: then, and while it fills."""
    rng = subject.rng(salt=7)
    new = subject.init_memory()
    if bool((new.position != 0).any()):
        raise ContractViolation(f"a new memory has position {new.position.tolist()} instead of 0")
    time = subject.length
    tokens = subject.tokens(time, rng=rng)
    whole, _ = subject(tokens, new)
    nothing, _ = subject(tokens)
    same_numbers(nothing, whole, what="logits without a memory, compared with a new memory,")
    for cuts in ([], [1], [2, 5, 6], [1, 2, 3, 4, 5, 9]):
        logits, _ = subject.read(tokens, poisoned(new), cuts=cuts)
        what = "at once" if not cuts else f"in chunks cut at {cuts}"
        same_numbers(logits, whole, what=f"logits after a new memory full of NaN, read {what},")
    # Lane 0 goes on while lanes 1 and 2 are new: a call must look at each lane's own position.
    _, used = subject(tokens)
    mixed = used.where(torch.tensor([True, False, False], device=subject.device), poisoned(new))
    logits, _ = subject.read(tokens, mixed, cuts=[3])
    same_numbers(logits[1:], whole[1:], what="logits of new lanes full of NaN beside a used one")
    lengths = torch.tensor([4, 0, 2], device=subject.device)
    _, begun = subject(tokens[:, :4], poisoned(new), lengths=lengths)
    for lane, fed in enumerate(lengths.tolist()):
        logits, _ = subject(tokens[:, fed:], begun)
        same_numbers(logits[lane], whole[lane, fed:], what=f"logits of a lane full of NaN after {fed} tokens of 4")


def _lanes_come_first(subject: Subject) -> None:
    one, three = subject.init_memory(1), subject.init_memory(3)
    places: set[int] = set()
    for name, leaf in three.flatten().items():
        if leaf.ndim == 0 or leaf.shape != (3, *one.flatten()[name].shape[1:]):
            raise ContractViolation(
                f"'{name}' of a new memory of 3 lanes has shape {list(leaf.shape)}: lanes come first"
            )
        if not leaf.is_contiguous():
            raise ContractViolation(f"'{name}' of a new memory is not contiguous, so it cannot be saved as it is")
        place = leaf.untyped_storage().data_ptr()
        if leaf.numel() and place in places:
            raise ContractViolation(f"'{name}' of a new memory shares its storage with another leaf")
        places.add(place)


def _layout(memory: Memory) -> dict[str, str]:
    def describe(leaf: Tensor) -> str:
        order = "" if leaf.is_contiguous() else ", not contiguous"
        return f"{leaf.dtype} of shape {list(leaf.shape)} on {leaf.device}{order}"

    return {name: describe(leaf) for name, leaf in memory.flatten().items()}
