"""The ten laws of the memory contract, and the court that hears a model on all of them.

An encoder-decoder is heard with sources before it, and on six more laws, which are about them
(everlong.testing.sources).

Each law is a function of a `Subject` that returns nothing or raises a ContractViolation. All are heard in float64,
where an honest difference is rounding (1e-15) and a mistake is not (1e-2); in training without dropout, in evaluation,
and in inference mode, where a model may write in place.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from everlong.errors import ConfigError, ContractViolation
from everlong.models.seq2seq import Seq2Seq
from everlong.testing.lanes import law_4_isolated, law_5_idle_means_idle
from everlong.testing.life import law_8_round_trip, law_9_alive
from everlong.testing.sources import (
    law_11_any_source,
    law_12_source_kept,
    law_13_source_padding,
    law_14_sources_apart,
    law_15_source_seen,
    law_16_nothing_read,
)
from everlong.testing.state import law_3_constant, law_6_pure, law_7_inert_when_new
from everlong.testing.stream import law_1_split_invariant, law_2_causal, law_10_any_length
from everlong.testing.subject import MODES, Subject


@dataclass(frozen=True)
class Law:
    """One law: its number and name, how it is checked, and what usually mends a model that breaks it."""

    number: int
    name: str
    check: Callable[[Subject], None]
    remedy: str

    def __call__(self, subject: Subject) -> None:
        """Hear a model on this law.

        Raises:
            ContractViolation: the model breaks the law, or raised an error of its own.
        """
        place = f"law {self.number} ({self.name}), {subject.mode}"
        try:
            with torch.enable_grad() if subject.has_gradients else torch.inference_mode():
                self.check(subject)
        except ContractViolation as found:
            raise ContractViolation(f"{place}: {found}. {self.remedy}") from found
        except Exception as error:
            raise ContractViolation(
                f"{place}: the model raised {type(error).__name__}: {error}. {self.remedy}"
            ) from error


LAWS = (
    Law(
        1,
        "split-invariant",
        law_1_split_invariant,
        "What a token sees must follow from its position in its document, never from where the caller cut the stream.",
    ),
    Law(2, "causal", law_2_causal, "Mask every later token, and take no statistics over the chunk."),
    Law(3, "constant", law_3_constant, "Let init_memory lay out all slots, and return leaves of that shape and type."),
    Law(4, "isolated", law_4_isolated, "Mix no lanes, and drop what was remembered where a document starts."),
    Law(5, "idle means idle", law_5_idle_means_idle, "Advance each lane by its own length; keep the rest as it is."),
    Law(6, "pure", law_6_pure, "Build new tensors for the next memory instead of writing into the old one."),
    Law(
        7,
        "inert when new",
        law_7_inert_when_new,
        "Replace slots that were never filled by torch.where: zero times NaN is NaN.",
    ),
    Law(8, "round trip", law_8_round_trip, "Keep everything that is remembered in the memory, nothing in the module."),
    Law(9, "alive", law_9_alive, "Use every parameter or remove it, and draw no random numbers outside dropout."),
    Law(10, "any length", law_10_any_length, "Pad inside the model if it must; a caller may bring 1 token or 31."),
)

SOURCE_LAWS = (
    Law(11, "any source", law_11_any_source, "Pad inside `encode` if it must, and let `read` make the memory."),
    Law(12, "source kept", law_12_source_kept, "Hand the source's leaves on as they are, at a new document too."),
    Law(
        13, "source padding", law_13_source_padding, "Encode real tokens alone, and mask padding slots by torch.where."
    ),
    Law(14, "sources apart", law_14_sources_apart, "Mix no lanes."),
    Law(15, "source seen", law_15_source_seen, "Let every prediction depend on the whole source, and on its order."),
    Law(
        16, "nothing read", law_16_nothing_read, "Find zeros where there is no source, whatever room there is for one."
    ),
)
"""What an encoder-decoder obeys besides."""


def laws_for(model: nn.Module) -> tuple[Law, ...]:
    """The laws that a model is heard on."""
    return LAWS + SOURCE_LAWS if isinstance(model, Seq2Seq) else LAWS


def broken_laws(
    model: nn.Module, *, vocab_size: int | None = None, length: int = 32, seed: int = 0
) -> dict[str, ContractViolation]:
    """The laws that a model breaks, by name, each with what was found first.

    Args:
        model: anything with ``init_memory`` that answers by the contract; it stays as it is.
        vocab_size: how many tokens there are; ``model.config.vocab_size`` if not given.
        length: tokens that each lane reads; give more than the model's memory holds, or a model with a small memory.
        seed: of weights' noise and streams.

    Raises:
        ConfigError: it has no ``init_memory``, the size of the vocabulary is not known, or it or ``length`` is too
            small to judge by.
    """
    if not callable(getattr(model, "init_memory", None)):
        raise ConfigError(
            f"{type(model).__name__} has no init_memory(lanes), so it has no memory to be heard on. Write that method, "
            "or hear an encoder with verify_encoder."
        )
    subject = Subject.of(model, vocab_size=vocab_size, length=length, seed=seed)
    broken: dict[str, ContractViolation] = {}
    for law in laws_for(model):
        for mode in MODES:
            try:
                law(subject.in_mode(mode))
            except ContractViolation as violation:
                broken.setdefault(law.name, violation)
    return broken


def verify_contract(model: nn.Module, *, vocab_size: int | None = None, length: int = 32, seed: int = 0) -> None:
    """Hear a model on all ten laws; a model that returns from here can be trained, saved, forked and served.

    A `Seq2Seq` is heard on them with sources before it, and on the laws of sources.

    >>> verify_contract(everlong.create_model("gru", vocab_size=11, d_model=8))

    Args:
        model: anything with ``init_memory`` that answers by the contract; it stays as it is.
        vocab_size: how many tokens there are; ``model.config.vocab_size`` if not given.
        length: tokens that each lane reads; give more than the model's memory holds, or a model with a small memory.
        seed: of weights' noise and streams.

    Raises:
        ContractViolation: a law is broken; the message says which, what differed and by how much.
        ConfigError: it has no ``init_memory``, the size of the vocabulary is not known, or it or ``length`` is too
            small to judge by.
    """
    broken = broken_laws(model, vocab_size=vocab_size, length=length, seed=seed)
    if broken:
        found = "\n".join(f"  {violation}" for violation in broken.values())
        raise ContractViolation(f"{type(model).__name__} breaks {len(broken)} of {len(laws_for(model))} laws:\n{found}")
