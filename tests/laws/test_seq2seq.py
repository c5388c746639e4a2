"""The laws of encoder-decoders: the ten with sources before them, those of sources, and a mutant for each of these."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.errors import ContractViolation
from everlong.memory import load_memory
from everlong.models import list_models
from everlong.testing import LAWS, SOURCE_LAWS, Law, Subject, broken_laws, verify_contract
from everlong.testing.subject import MODES, Mode
from tests.laws import seq2seq_mutants as mutants
from tests.laws.seq2seq_cases import SEQ2SEQ, SMALL, seq2seq, seq2seq_subject

LENGTH = 32


@pytest.mark.parametrize("law", LAWS + SOURCE_LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("case", SEQ2SEQ)
def test_law(case: str, law: Law) -> None:
    for mode in MODES:
        law(seq2seq_subject(case).in_mode(mode))


def test_every_encoder_decoder_is_heard() -> None:
    assert {name for name, _ in SEQ2SEQ.values()} == set(list_models("seq2seq"))


def test_laws_of_sources_are_numbered_after_the_ten() -> None:
    assert [law.number for law in LAWS + SOURCE_LAWS] == list(range(1, 17))


@pytest.mark.parametrize("name", list_models("seq2seq"))
def test_verify_contract_is_one_call(name: str) -> None:
    case = next(case for case, (its_name, _) in SEQ2SEQ.items() if its_name == name)
    before, state = seq2seq(case).weights_digest(), torch.get_rng_state()
    verify_contract(seq2seq(case), length=24)
    assert torch.equal(torch.get_rng_state(), state)
    assert seq2seq(case).weights_digest() == before


cuts = st.sets(st.integers(1, LENGTH - 1), max_size=8)
places = st.sets(st.tuples(st.integers(0, 2), st.integers(0, LENGTH - 1)), max_size=5)


@pytest.mark.parametrize("mode", ["training", "decoding"])
@pytest.mark.parametrize("case", SEQ2SEQ)
@given(cuts=cuts, begins=places, seed=st.integers(0, 99))
def test_a_target_does_not_care_where_it_is_cut(
    case: str, mode: Mode, cuts: set[int], begins: set[tuple[int, int]], seed: int
) -> None:
    here = seq2seq_subject(case).in_mode(mode)
    tokens = here.tokens(LENGTH, rng=here.rng(salt=seed))
    starts = torch.zeros_like(tokens, dtype=torch.bool)
    for lane, at in begins:
        starts[lane, at] = True
    with torch.no_grad() if mode == "training" else torch.inference_mode():
        whole, _ = here(tokens, starts=starts)
        pieces, _ = here.read(tokens, starts=starts, cuts=cuts)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", SEQ2SEQ)
@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision_keeps_memory_and_losses_in_float32(case: str, training: bool) -> None:
    mixed = copy.deepcopy(seq2seq(case)).train(training)
    source, tokens = torch.randint(11, (2, 6)), torch.randint(11, (2, 9))
    with torch.autocast("cpu", torch.bfloat16):
        memory = mixed.read(source, lengths=torch.tensor([6, 3]))
        layout = {name: (leaf.dtype, leaf.shape) for name, leaf in memory.flatten().items()}
        _, memory = mixed(tokens, memory)
        losses, memory, _ = mixed.token_losses(tokens, tokens, memory, lengths=torch.tensor([3, 9]))
    losses.sum().backward()
    assert {name: (leaf.dtype, leaf.shape) for name, leaf in memory.flatten().items()} == layout
    assert {dtype for dtype, _ in layout.values()} == {torch.int64, torch.float32}
    assert losses.dtype == torch.float32
    assert all(bool(p.grad.isfinite().all()) for p in mixed.parameters() if p.grad is not None)


@pytest.mark.parametrize("case", SEQ2SEQ)
def test_activation_checkpointing_changes_no_gradient(case: str) -> None:
    kept = seq2seq_subject(case).in_mode("training")
    again = kept.twin()
    again.owner.recompute = True  # type: ignore[assignment]
    tokens, starts = kept.tokens(20, rng=kept.rng()), kept.starts(20, rng=kept.rng(salt=1))
    found = [here.gradients([here.read(tokens, starts=starts, cuts=[7])[0]]) for here in (kept, again)]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", SEQ2SEQ)
def test_a_memory_with_a_source_survives_a_file_and_a_change_of_lanes(case: str, tmp_path: Any) -> None:
    model, tokens = copy.deepcopy(seq2seq(case)).eval(), torch.randint(11, (2, 5))
    source, lengths = torch.randint(11, (2, 6)), torch.tensor([2, 6])
    with torch.inference_mode():
        _, memory = model(tokens, model.read(source, lengths=lengths))
        memory.save(tmp_path / "memory")
        expected, _ = model(tokens, memory)
        found, _ = model(tokens, load_memory(tmp_path / "memory", model))
        assert torch.equal(found, expected)
        # A lane that another call has read takes the place of one that is done.
        newcomer = model.read(source[:1], lengths=torch.tensor([2]))
        mixed = memory.put(torch.tensor([1]), newcomer)
        chosen = memory.where(torch.tensor([True, False]), newcomer.select(torch.tensor([0, 0])))
        alone, _ = model(tokens[1:], model.read(source[:1, :2]))
        for both in (mixed, chosen):
            logits, _ = model(tokens, both)
            torch.testing.assert_close(logits[:1], expected[:1], rtol=0, atol=1e-6)
            torch.testing.assert_close(logits[1:], alone, rtol=0, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("case", SEQ2SEQ)
def test_laws_on_a_gpu(case: str) -> None:
    verify_contract(copy.deepcopy(seq2seq(case)).cuda())


MUTANTS: list[tuple[type[mutants.EncoderDecoder], str, str]] = [
    (mutants.FoursOnly, "any source", "a source of 1 tokens raised ValueError: sources must be a multiple of 4"),
    (mutants.StandsAtItsEnd, "any source", r"says it has 1 slots for sources of \[1, 1, 1\] tokens and stands at \[1,"),
    (mutants.Overflows, "any source", "logits after a source of 13 tokens are not finite"),
    (mutants.WritesIntoTheSource, "source kept", "reading wrote into the source or its lengths"),
    (mutants.ReadsByChance, "source kept", "a memory whose source was read a second time: .* of 'source' changed"),
    (mutants.DropsTheSource, "source kept", "'source', which belongs to the source, changed in a call of 1 tokens"),
    (mutants.SeesPadding, "source padding", "after a source of 4 tokens and 5 of padding, compared with none, differ"),
    (mutants.CountsFromTheEnd, "source padding", "after a source of 4 tokens and 5 of padding, compared with none"),
    (mutants.TrustsPadding, "source padding", r"lengths=\[9, 4, 0\], when the slots of padding are NaN, differ"),
    (mutants.CentredOnTheBatch, "sources apart", "after the source of lane 0 alone, compared with company, differ"),
    (mutants.ReadsTheBeginning, "source seen", "does not notice when token 6 of its source changes"),
    (mutants.BagOfSourceTokens, "source seen", "does not notice when tokens 4 and 5 of its source change places"),
    (mutants.LooksLater, "source seen", "some token of the target does not notice when token 0 of its source changes"),
    (mutants.BeginsWithASecret, "nothing read", "after a source of no tokens, compared with a new memory, differ by"),
    (mutants.HasNoRoom, "nothing read", "with room for 6 source tokens has 0 source slots and"),
]


@pytest.mark.parametrize(("mutant", "name", "what"), MUTANTS)
def test_a_mutant_is_caught_by_its_law(mutant: type[mutants.EncoderDecoder], name: str, what: str) -> None:
    law = next(law for law in SOURCE_LAWS if law.name == name)
    subject = Subject.of(mutant(mutant.Config(**SMALL))).in_mode("training")
    with pytest.raises(ContractViolation, match=what) as caught:
        law(subject)
    assert str(caught.value).startswith(f"law {law.number} ({name}), training: ")


def test_every_law_of_sources_has_a_mutant() -> None:
    assert {name for _, name, _ in MUTANTS} == {law.name for law in SOURCE_LAWS}


def test_a_mutant_breaks_the_law_of_its_mistake_and_no_other() -> None:
    mutant = mutants.SeesPadding(mutants.SeesPadding.Config(**SMALL))
    assert list(broken_laws(mutant, length=12)) == ["source padding"]
    with pytest.raises(ContractViolation, match="SeesPadding breaks 1 of 16 laws"):
        verify_contract(mutant, length=12)
