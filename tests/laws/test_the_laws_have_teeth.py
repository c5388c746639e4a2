"""Every law catches a model that breaks it, and three correct models outside the registry break none."""

import pytest
import torch
from torch import nn

from everlong.errors import ConfigError, ContractViolation, EverlongError
from everlong.testing import LAWS, Law, Subject, broken_laws, verify_contract
from everlong.testing.subject import MODES
from tests.laws import mutants
from tests.laws.mutants import MUTANTS, Mutant
from tests.laws.toys import Blocks, Pinned, Recurrent, Window


@pytest.mark.parametrize("toy", [Recurrent, Blocks, Window, Pinned])
def test_a_correct_model_breaks_no_law(toy: type[nn.Module]) -> None:
    verify_contract(toy(), vocab_size=7)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.model.__name__)
def test_a_mutant_is_caught_by_its_law(mutant: Mutant) -> None:
    law = next(law for law in LAWS if law.name == mutant.law)
    subject = Subject.of(mutant.model(), vocab_size=7)
    with pytest.raises(ContractViolation, match=rf"^law {law.number} \({law.name}\), (training|evaluating|decoding): "):
        hear(law, subject)


def hear(law: Law, subject: Subject) -> None:
    for mode in MODES:
        law(subject.in_mode(mode))


def test_every_law_has_a_mutant() -> None:
    assert {mutant.law for mutant in MUTANTS} == {law.name for law in LAWS}


@pytest.mark.parametrize(
    ("mutant", "law"),
    [
        (mutants.DetachesTheMemory, "split-invariant"),
        (mutants.KeepsAView, "constant"),
        (mutants.NoReset, "isolated"),
        (mutants.TidiesIdleLanes, "idle means idle"),
        (mutants.SavesNoPosition, "round trip"),
        (mutants.UnusedParameter, "alive"),
    ],
)
def test_a_small_mistake_breaks_one_law_and_no_other(mutant: type[nn.Module], law: str) -> None:
    assert list(broken_laws(mutant(), vocab_size=7)) == [law]


def test_verify_contract_names_every_broken_law_and_the_remedy() -> None:
    with pytest.raises(ContractViolation, match="TrustsEmptySlots breaks 2 of 10 laws") as caught:
        verify_contract(mutants.TrustsEmptySlots(), vocab_size=7)
    said = str(caught.value)
    assert "law 4 (isolated), training: " in said
    assert "law 7 (inert when new), training: logits after a new memory full of NaN" in said
    assert "zero times NaN is NaN" in said
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, EverlongError)


def test_a_violation_says_what_differed_where_and_by_how_much() -> None:
    violation = broken_laws(mutants.SegmentsFromTheCall(), vocab_size=7)["split-invariant"]
    assert "logits of a stream read token by token, not at once, differ by" in str(violation)
    assert "at index [" in str(violation)


def test_the_vocabulary_must_be_known() -> None:
    class Unknown(nn.Module):
        def init_memory(self, lanes: int) -> None:
            raise AssertionError(f"asked for {lanes} lanes before the vocabulary is known")

    with pytest.raises(
        ConfigError, match=r"Unknown has no config\.vocab_size. Give verify_contract\(model, vocab_size="
    ):
        verify_contract(Unknown())


@pytest.mark.parametrize(
    ("mutant", "law", "what"),
    [
        (mutants.TheLastLogitsOnly, "causal", r"logits have shape \[3, 1, 7\] instead of \[3, 16, 7\]"),
        (mutants.NotAMemory, "pure", r"the memory is a tuple, not an everlong.Memory; declare it with @memory_type"),
        (mutants.LanesLast, "constant", r"'hidden' of a new memory of 3 lanes has shape \[4, 3\]: lanes come first"),
        (mutants.SharedLeaves, "constant", "'cell' of a new memory shares its storage with another leaf"),
        (
            mutants.GrowingMemory,
            "constant",
            r"'ring' of a new memory is .*\[3, 0, 4\].*, after 1 calls it is .*\[3, 1, 4\]",
        ),
        (mutants.DetachesTheMemory, "split-invariant", "the gradient of embedding.weight differs by .* of its size"),
        (
            mutants.TidiesIdleLanes,
            "idle means idle",
            r"idle lanes of a call with .*: \d+ of \d+ numbers of 'ring' changed",
        ),
        (mutants.UnusedParameter, "alive", "no gradient reaches spare.weight, spare.bias: nothing depends on it"),
        (mutants.Noisy, "alive", "two calls with the same arguments differ by .*: the model is not a function"),
        (
            mutants.FoursOnly,
            "any length",
            "1 tokens, then 31: the model raised ValueError: chunks must be a multiple of 4",
        ),
        (mutants.FoursOnly, "pure", r"\(pure\), training: the model raised ValueError: chunks must be"),
    ],
)
def test_wording(mutant: type[nn.Module], law: str, what: str) -> None:
    broken = next(one for one in LAWS if one.name == law)
    with pytest.raises(ContractViolation, match=what):
        broken(Subject.of(mutant(), vocab_size=7).in_mode("training"))


class NotContiguousWhenNew(Window):
    def init_memory(self, lanes):
        return super().init_memory(lanes).map(lambda leaf: leaf if leaf.ndim == 1 else leaf.transpose(1, 2))


class CountsFromOne(Recurrent):
    def init_memory(self, lanes):
        new = super().init_memory(lanes)
        return type(new)(position=new.position + 1, hidden=new.hidden)


class WritesIntoTheTokens(Recurrent):
    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        result = super().forward(tokens, memory, starts=starts, lengths=lengths)
        tokens.zero_()
        return result


class InfiniteGradient(Recurrent):
    def step(self, x, hidden, *, position, index):
        return super().step(x, hidden, position=position, index=index) + (0 * x).sqrt()


class LogitsOfAnotherType(Recurrent):
    def forward(self, tokens, memory=None, *, starts=None, lengths=None):
        given = memory
        logits, memory = super().forward(tokens, memory, starts=starts, lengths=lengths)
        return (logits.float() if given is None else logits), memory


class BytesChange(Recurrent):
    """Layout as stated, bytes not: `nbytes` counts something else."""

    def init_memory(self, lanes):
        return Counted(**super().init_memory(lanes).flatten())

    def remember(self, position, hidden):
        return Counted(position=position, hidden=hidden)


@mutants.memory_type
class Counted(mutants.Memory):
    position: torch.Tensor
    hidden: torch.Tensor

    @property
    def nbytes(self) -> int:
        return int(self.position.sum())


@pytest.mark.parametrize(
    ("model", "law", "what"),
    [
        (NotContiguousWhenNew, "constant", "'ring' of a new memory is not contiguous, so it cannot be saved as it is"),
        (CountsFromOne, "inert when new", r"a new memory has position \[1, 1, 1\] instead of 0"),
        (WritesIntoTheTokens, "pure", "a call of .* tokens wrote into its tokens"),
        (InfiniteGradient, "alive", "the gradient of embedding.weight is not finite"),
        (
            LogitsOfAnotherType,
            "inert when new",
            r"logits without a memory.* are torch\.float32 .* instead of torch\.float64",
        ),
        (BytesChange, "constant", "a new memory has 0 bytes, after 1 calls 3"),
    ],
)
def test_rarer_mistakes(model: type[nn.Module], law: str, what: str) -> None:
    broken = next(one for one in LAWS if one.name == law)
    with pytest.raises(ContractViolation, match=what):
        broken(Subject.of(model(), vocab_size=7).in_mode("training"))
