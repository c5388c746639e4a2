"""Laws of use: what a model remembers survives a file and a fork (8), and all of the model takes part (9)."""

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from everlong.errors import ContractViolation
from everlong.memory import Memory, load_memory
from everlong.testing.judge import same_bits, same_numbers
from everlong.testing.subject import Subject


def law_8_round_trip(subject: Subject) -> None:
    """Save, load into another copy of the model, continue: the same tokens. One lane selected twice: two branches."""
    rng = subject.rng(salt=8)
    elsewhere = subject.twin()
    time = subject.length // 2
    _, memory = subject(subject.tokens(time, rng=rng), starts=subject.starts(time, rng=rng))
    follow = subject.tokens(time, rng=rng)
    expected, _ = subject(follow, memory)
    loaded = _through_a_file(memory, elsewhere)
    same_bits(loaded, memory, what="a memory that was saved and loaded")
    logits, _ = elsewhere(follow, loaded)
    same_numbers(logits, expected, what="logits after a memory that was saved and loaded", tolerance=0.0)
    _branches_are_two(subject, memory, follow, expected)


def law_9_alive(subject: Subject) -> None:
    """Every trainable parameter gets a gradient, and two calls with the same arguments agree exactly."""
    rng = subject.rng(salt=9)
    time = subject.length
    tokens, follow = subject.tokens(time, rng=rng), subject.tokens(time, rng=rng)
    with torch.inference_mode():
        subject(tokens)  # what a model keeps from generating must not stand in the way of training
    first, _ = subject(tokens)
    second, _ = subject(tokens)
    if not torch.equal(first, second):
        gap = float((first - second).detach().abs().max())
        raise ContractViolation(f"two calls with the same arguments differ by {gap:.1e}: the model is not a function")
    if not subject.has_gradients:
        return
    silent = _without_gradient(subject, tokens, follow)
    for draw in (1, 2):
        # Rectifiers may all be off by chance; three draws of the weights do not agree on that.
        silent = silent and [
            name for name in _without_gradient(subject.stirred(draw), tokens, follow) if name in silent
        ]
    if silent:
        raise ContractViolation(f"no gradient reaches {', '.join(silent)}: nothing depends on it")


class Guardian:
    """Vouches for the memories of a model that does not sign its own, so that they can be saved and loaded."""

    architecture: ClassVar[str] = "not registered"

    def __init__(self, subject: Subject) -> None:
        self.init_memory = subject.init_memory

    def config_json(self) -> str:
        """No config."""
        return "{}"

    def config_defaults(self) -> dict[str, Any]:
        """No fields."""
        return {}

    def weights_digest(self) -> str:
        """No digest."""
        return ""


def _through_a_file(memory: Memory, elsewhere: Subject) -> Memory:
    signature = ("architecture", "config_json", "config_defaults", "weights_digest")
    signs = all(hasattr(elsewhere.owner, name) for name in signature)
    owner: Any = elsewhere.owner if signs else Guardian(elsewhere)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory"
        (memory if signs else memory.map(torch.clone).made_by(owner)).save(path)
        return load_memory(path, owner)


def _branches_are_two(subject: Subject, memory: Memory, follow: Tensor, expected: Tensor) -> None:
    fork = memory.select(torch.tensor([1, 1, 0], device=subject.device))
    same = follow[[1, 1, 0]]
    logits, _ = subject(same, fork)
    same_numbers(logits, expected[[1, 1, 0]], what="logits of two branches that read the same")
    other = same.clone()
    other[0] = (other[0] + 1) % subject.vocab_size
    logits, _ = subject(other, fork)
    same_numbers(logits[1:], expected[[1, 0]], what="logits of a branch, when the other branch reads something else,")
    back = fork.select(torch.tensor([2, 0], device=subject.device))
    same_bits(memory.put(torch.tensor([0, 1], device=subject.device), back), memory, what="lanes selected and put back")


def _without_gradient(subject: Subject, tokens: Tensor, follow: Tensor) -> list[str]:
    first, memory = subject(tokens)
    outputs = [first, subject(follow, memory)[0], *_memory_losses(subject, follow, memory)]
    gradients = subject.gradients(outputs)
    for name, gradient in gradients.items():
        if not bool(gradient.isfinite().all()):
            raise ContractViolation(f"the gradient of {name} is not finite")
    return [name for name, gradient in gradients.items() if not bool(gradient.any())]


def _memory_losses(subject: Subject, tokens: Tensor, memory: Memory) -> list[Tensor]:
    model: Any = subject.owner
    if not hasattr(model, "forward_with_aux"):
        return []
    return list(model.forward_with_aux(tokens, memory)[2].values())
