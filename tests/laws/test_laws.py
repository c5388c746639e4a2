"""The ten laws, for every causal architecture of the registry and each of its ways to be configured."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.models import create_model, list_models
from everlong.testing import LAWS, Law, Subject, verify_contract
from everlong.testing.subject import MODES, Mode
from tests.laws.cases import CASES, CT, LONG, REFORMER, SMALL, SPARSE, XL, model, subject

LENGTH = 32


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("case", CASES)
def test_law(case: str, law: Law) -> None:
    for mode in MODES:
        law(subject(case).in_mode(mode))


def test_every_causal_architecture_is_heard() -> None:
    assert {name for name, _ in CASES.values()} == set(list_models("causal"))


def test_laws_are_ten_and_numbered() -> None:
    assert [law.number for law in LAWS] == list(range(1, 11))
    assert len({law.name for law in LAWS}) == 10


@pytest.mark.parametrize("name", list_models("causal"))
def test_verify_contract_is_one_call(name: str) -> None:
    case = next(case for case, (its_name, _) in CASES.items() if its_name == name)
    before = {key: leaf.clone() for key, leaf in model(case).state_dict().items()}
    state = torch.get_rng_state()
    verify_contract(model(case), length=24)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(leaf, before[key]) for key, leaf in model(case).state_dict().items())


cuts = st.sets(st.integers(1, LENGTH - 1), max_size=8)
places = st.sets(st.tuples(st.integers(0, 1), st.integers(0, LENGTH - 1)), max_size=5)


@pytest.mark.parametrize("mode", ["training", "decoding"])
@pytest.mark.parametrize("case", CASES)
@given(cuts=cuts, begins=places, seed=st.integers(0, 99))
def test_memory_does_not_care_where_the_stream_is_cut(
    case: str, mode: Mode, cuts: set[int], begins: set[tuple[int, int]], seed: int
) -> None:
    here = subject(case).in_mode(mode)
    tokens = here.tokens(LENGTH, lanes=2, rng=here.rng(salt=seed))
    starts = torch.zeros_like(tokens, dtype=torch.bool)
    for lane, at in begins:
        starts[lane, at] = True
    with torch.no_grad() if mode == "training" else torch.inference_mode():
        whole, _ = here(tokens, starts=starts)
        pieces, _ = here.read(tokens, starts=starts, cuts=cuts)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("transformer", {**SMALL, "n_heads": 2, "d_ff": 12, "context": 150}),
        ("reformer", {**REFORMER, "window": 70, "context": 150, "bucket_size": 20}),
        ("transformer-xl", {**XL, "segment": 64, "mem_len": 100}),
        ("transformer-xl", {**XL, "segment": 64, "mem_len": 100, "same_length": True}),
        ("compressive-transformer", {**CT, "segment": 160, "mem_len": 160, "cmem_len": 9, "reconstruction": "none"}),
        ("longformer", {**LONG, "window": (70, 30), "dilation": (1, (1, 5)), "n_global": 9}),
        ("sparse-transformer", {**SPARSE, "stride": 8, "context": 160}),
        ("sparse-transformer", {**SPARSE, "pattern": "strided", "stride": 5, "context": 100}),
        ("sparse-transformer", {**SPARSE, "pattern": "strided", "stride": 70, "context": 350, "heads": "split"}),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_chunks_longer_than_a_block_of_queries(name: str, fields: dict[str, Any], mode: Mode) -> None:
    """Attention is computed in blocks of 128 queries; the streams of the other tests fit into one."""
    here = Subject.of(create_model(name, **fields)).in_mode(mode)
    tokens, starts = here.tokens(390, rng=here.rng()), here.starts(390, rng=here.rng(salt=1))
    starts &= here.starts(390, rng=here.rng(salt=2))
    with torch.inference_mode():
        whole, memory = here(tokens, starts=starts)
        pieces, kept = here.read(tokens, starts=starts, cuts=[1, 130, 131, 259])
        later, again = here(tokens[:, :9], memory)[0], here(tokens[:, :9], kept)[0]
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(again, later, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", [case for case, (name, _) in CASES.items() if name.startswith("transformer")])
def test_slots_that_a_document_never_filled_may_hold_anything(case: str) -> None:
    """Law 7 by hand, where it is known which slots are empty: the oldest of a ring."""
    for mode in MODES:
        here = subject(case).in_mode(mode)
        tokens, follow = here.tokens(3, rng=here.rng()), here.tokens(9, rng=here.rng(salt=1))
        with torch.no_grad() if mode == "training" else torch.inference_mode():
            _, memory = here(tokens)
            expected, _ = here(follow, memory)
            leaves = memory.map(torch.clone).flatten()
            leaves["state"][:, :, : max(0, leaves["state"].shape[2] - 3)] = torch.nan
            found, after = here(follow, type(memory)(**leaves))
            later = here(follow, after)[0], here(follow, here(follow, memory)[1])[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(*later, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision_keeps_memory_and_losses_in_float32(case: str, training: bool) -> None:
    """Law 3 under the policy of mixed-precision training: activations are bfloat16, what is remembered is not."""
    mixed = copy.deepcopy(model(case)).train(training)
    tokens, new = torch.randint(11, (2, 9)), mixed.init_memory(2)
    with torch.autocast("cpu", torch.bfloat16):
        _, memory = mixed(tokens)
        _, memory = mixed(tokens[:, :1], memory)
        losses, memory, _ = mixed.token_losses(tokens, tokens, memory, lengths=torch.tensor([3, 9]))
    losses.sum().backward()
    layout = {name: (leaf.dtype, leaf.shape) for name, leaf in new.flatten().items()}
    assert {name: (leaf.dtype, leaf.shape) for name, leaf in memory.flatten().items()} == layout
    assert losses.dtype == torch.float32
    assert all(bool(p.grad.isfinite().all()) for p in mixed.parameters() if p.grad is not None)


@pytest.mark.parametrize("case", CASES)
def test_activation_checkpointing_changes_no_gradient(case: str) -> None:
    kept = subject(case).in_mode("training")
    again = kept.twin()
    again.model.recompute = True
    tokens, starts = kept.tokens(20, rng=kept.rng()), kept.starts(20, rng=kept.rng(salt=1))
    found = [here.gradients([here.read(tokens, starts=starts, cuts=[7])[0]]) for here in (kept, again)]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("case", CASES)
def test_laws_on_a_gpu(case: str) -> None:
    verify_contract(copy.deepcopy(model(case)).cuda())
