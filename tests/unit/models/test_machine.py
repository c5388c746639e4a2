"""NTM, DNC and MANN: sizes, invariants of whole models, vectors, extreme inputs, precision and what a graph keeps."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.errors import ConfigError, ShapeError
from everlong.models import create_model, describe_model
from everlong.models.dnc import DNC, DNCAccess, DNCConfig
from everlong.models.mann import MANN, MANNConfig
from everlong.models.ntm import NTM, NTMAccess, NTMConfig
from everlong.testing.subject import stir_weights

NAMES = ["ntm", "dnc", "mann"]
SIZES = {"vocab_size": 11, "d_model": 8, "n_layers": 1, "memory_slots": 6, "slot_size": 4, "n_reads": 2}
REPAIRS = {"deallocate": True, "mask_keys": True, "sharpen_links": True}
VARIANTS = [("ntm", {}), ("dnc", {}), ("dnc", REPAIRS), ("mann", {}), ("mann", {"strengths": True})]


def make(name: str, **fields: Any) -> Any:
    known = describe_model(name)[1].model_fields
    model = create_model(name, **{key: value for key, value in SIZES.items() if key in known} | fields)
    stir_weights(model, seed=0)
    return model


def told(access: Any, **parts: Tensor | float) -> Tensor:
    """An interface vector of one lane, in its ranges; 0 where nothing is said."""
    y = torch.zeros(1, access.interface.size, dtype=torch.float64)
    for name, part in zip(access.interface.names, access.interface.cut(y), strict=True):
        part += parts.get(name, 0.0)
    return y


@pytest.mark.parametrize(("reads", "width"), [(1, 3), (4, 64)])
def test_the_interface_of_a_dnc_has_the_published_size(reads: int, width: int) -> None:
    access = DNCAccess(n_reads=reads, slot_size=width, deallocate=True, mask_keys=False, sharpen_links=False)
    assert access.interface.size == width * reads + 3 * width + 5 * reads + 3


@pytest.mark.parametrize(("name", "fixed", "by_slot"), [("ntm", 1, 1 + 1), ("dnc", 4, 4 + 3 + 128), ("mann", 4, 4 + 1)])
def test_a_session_takes_the_bytes_of_its_numbers(name: str, fixed: int, by_slot: int) -> None:
    """At default sizes: two states of the controller, what was read, 128 rows with their weights, and a position."""
    numbers = 2 * 256 + 32 * fixed + 128 * (32 + by_slot)
    assert create_model(name).init_memory(3).nbytes == 3 * (4 * numbers + 8)


@pytest.mark.parametrize("name", NAMES)
def test_reads_reach_the_controller_at_the_next_step_and_the_answer_at_this_one(name: str) -> None:
    model = make(name).double()
    tokens = torch.randint(11, (1, 3))
    _, memory = model(tokens)
    other = type(memory)(**{**memory.flatten(), "read": memory.read + 1})
    _, one = model(tokens[:, :1], memory)
    _, two = model(tokens[:, :1], other)
    assert bool((one.hidden != two.hidden).all())
    with torch.no_grad():
        model.answer.weight[:, : model.config.d_model] = 0
        assert not torch.equal(model(tokens)[0][:, 0], model((tokens + 1) % 11)[0][:, 0])


def test_weights_of_an_ntm_stay_weights() -> None:
    model = make("ntm", n_writes=2).double()
    memory = None
    for _ in range(30):
        _, memory = model(torch.randint(11, (3, 1)), memory)
        memory = memory.detach()
        torch.testing.assert_close(memory.weights.sum(dim=-1), torch.ones_like(memory.weights[..., 0]))
        assert float(memory.weights.min()) >= 0


def test_heads_of_a_new_ntm_begin_in_the_first_row_and_step_from_there() -> None:
    model = create_model("ntm", vocab_size=5, d_model=16, memory_slots=12, slot_size=4, n_reads=2, n_writes=2).eval()
    with torch.inference_mode():
        _, memory = model(torch.randint(5, (3, 1)))
    assert bool((model.first_weights.softmax(dim=-1)[:, 0] > 0.999).all())
    # One step away from the first row at most, but for what little is found by content and evenly spread.
    near = memory.weights[..., [11, 0, 1]].sum(dim=-1)
    assert bool((near > 0.8).all())


def test_an_ntm_replaces_a_row_exactly() -> None:
    """Erase 1 and add `a` at one slot: the row is `a`, the others are as they were."""
    access = NTMAccess(n_reads=1, n_writes=1, slot_size=3)
    matrix = torch.randn(1, 5, 3, dtype=torch.float64)
    weights = torch.zeros(1, 2, 5, dtype=torch.float64)
    weights[..., 2] = 1
    stay = torch.tensor([-99.0, 99.0, -99.0]).repeat(2)
    row = torch.tensor([[0.1, -0.9, 0.5]], dtype=torch.float64)
    vector = told(access, erasures=1.0, additions=row, powers=1.0, shifts=stay)
    read, (after, held), _ = access.step(vector, (matrix, weights))
    expected = matrix.clone()
    expected[0, 2] = row
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(held, weights, rtol=0, atol=1e-14)
    torch.testing.assert_close(read, row, rtol=0, atol=1e-14)


@pytest.mark.parametrize("repairs", [{}, REPAIRS])
def test_bounds_of_a_dnc_hold_for_ever(repairs: dict[str, Any]) -> None:
    model = make("dnc", **repairs).double()
    with torch.no_grad():
        model.interface.weight.mul_(9)
    memory = None
    for _ in range(60):
        _, memory = model(torch.randint(11, (3, 1)), memory)
        memory = memory.detach()
        assert float(memory.usage.min()) >= 0
        assert float(memory.usage.max()) <= 1
        for leaf in (memory.precedence, memory.writing, memory.reading):
            assert float(leaf.min()) >= 0
            assert float(leaf.sum(dim=-1).max()) <= 1 + 1e-12
        assert float(memory.links.sum(dim=1).max()) <= 1 + 1e-12
        assert float(memory.links.sum(dim=2).max()) <= 1 + 1e-12
        assert not bool(memory.links.diagonal(dim1=1, dim2=2).any())


def test_a_dnc_replays_what_it_wrote() -> None:
    """Rows written to fresh slots come back in their order by forward links, and against it by backward links."""
    access = DNCAccess(n_reads=1, slot_size=3, deallocate=False, mask_keys=False, sharpen_links=False)
    slots, rows = 6, torch.randn(4, 3, dtype=torch.float64)
    shapes = [(1, slots, 3), (1, slots), (1, slots), (1, slots, slots), (1, 1, slots), (1, slots)]
    leaves = tuple(torch.zeros(shape, dtype=torch.float64) for shape in shapes)
    write = {"strengths": 1.0, "erase": 1.0, "allocation_gate": 1.0, "write_gate": 1.0}
    for row in rows:
        _, leaves, _ = access.step(told(access, value=row, **write), leaves)
    matrix = leaves[0][0]
    order = [int((matrix - row).abs().sum(dim=1).argmin()) for row in rows]
    torch.testing.assert_close(matrix[order], rows, rtol=0, atol=1e-4)
    assert len(set(order)) == 4
    for way, path in ((2, rows), (0, rows.flip(0))):
        mode = torch.full((3,), -99.0, dtype=torch.float64)
        mode[way] = 99.0
        first = torch.zeros(1, 1, slots, dtype=torch.float64)
        first[0, 0, order[0 if way == 2 else -1]] = 1
        now = (*leaves[:4], first, torch.zeros_like(leaves[5]))
        for expected in path[1:]:
            read, now, _ = access.step(told(access, strengths=1.0, modes=mode), now)
            torch.testing.assert_close(read[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("deallocate", [False, True])
def test_a_slot_that_a_dnc_sets_free_is_written_next_and_emptied_where_asked(deallocate: bool) -> None:
    access = DNCAccess(n_reads=1, slot_size=3, deallocate=deallocate, mask_keys=False, sharpen_links=False)
    matrix = torch.randn(1, 4, 3, dtype=torch.float64)
    usage, reading = torch.ones(1, 4, dtype=torch.float64), torch.zeros(1, 1, 4, dtype=torch.float64)
    reading[..., 2] = 1
    none = torch.zeros(1, 4, dtype=torch.float64)
    leaves = (matrix, usage, none, torch.zeros(1, 4, 4, dtype=torch.float64), reading, none)
    vector = told(access, strengths=1.0, free=1.0, allocation_gate=1.0, write_gate=1.0)
    _, after, _ = access.step(vector, leaves)
    torch.testing.assert_close(after[5], reading[:, 0], rtol=0, atol=1e-5)
    expected = matrix.clone()
    if deallocate:
        expected[0, 2] = 0
    torch.testing.assert_close(after[0], expected, rtol=0, atol=1e-12)


def test_a_mann_writes_to_the_least_used_slots_and_empties_them_first() -> None:
    model = make("mann").double()
    with torch.no_grad():
        model.alpha.fill_(-1e9)
    _, memory = model(torch.randint(11, (1, 9)))
    least = memory.usage[0].argsort()[:2]
    row = torch.tanh(model.interface(torch.zeros(8, dtype=torch.float64))).view(2, 4).sum(dim=0)
    with torch.no_grad():
        model.interface.weight.zero_()
    _, after = model(torch.randint(11, (1, 1)), memory)
    for slot in range(6):
        expected = row if slot in least else memory.matrix[0, slot]
        torch.testing.assert_close(after.matrix[0, slot], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_begins_with_a_wiped_memory(name: str) -> None:
    model = make(name)
    tokens = torch.randint(11, (1, 12))
    begins = torch.zeros(1, 12, dtype=torch.bool)
    begins[0, 5] = True
    _, memory = model(tokens, starts=begins)
    _, alone = model(tokens[:, 5:])
    for field, leaf in memory.flatten().items():
        torch.testing.assert_close(leaf, getattr(alone, field), msg=field)


@pytest.mark.parametrize("name", [*NAMES, "lstm"])
@pytest.mark.parametrize("output_size", [0, 3])
@pytest.mark.parametrize("input_size", [0, 5])
def test_vectors_in_and_out_by_the_same_contract(name: str, input_size: int, output_size: int) -> None:
    model = make(name, input_size=input_size, output_size=output_size).double()
    given = torch.randn(2, 9, 5, dtype=torch.float64) if input_size else torch.randint(11, (2, 9))
    starts, lengths = torch.rand(2, 9) < 0.2, torch.tensor([4, 9])
    whole, memory = model(given, starts=starts)
    assert whole.shape == (2, 9, output_size or 11)
    first, half = model(given[:, :4], starts=starts[:, :4])
    last, kept = model(given[:, 4:], half, starts=starts[:, 4:])
    torch.testing.assert_close(torch.cat([first, last], dim=1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(kept.flatten(), memory.flatten(), rtol=0, atol=1e-12)
    ragged, _ = model(given, starts=starts, lengths=lengths)
    given[0, 4:] = torch.nan if input_size else 77
    noisy, _ = model(given, starts=starts, lengths=lengths)
    assert torch.equal(noisy[0, :4], ragged[0, :4])
    assert torch.equal(noisy[1], ragged[1])


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_a_model_of_vectors(name: str) -> None:
    model = make(name, input_size=5, output_size=3)
    with pytest.raises(
        ShapeError, match=r"this model reads vectors: floats of shape \[lanes, time, 5\], got torch.int"
    ):
        model(torch.randint(11, (2, 9)))
    with pytest.raises(ConfigError, match=r"this model answers vectors of 3 numbers, .* or set output_size=0"):
        model.token_losses(torch.zeros(2, 9, 5), torch.randint(11, (2, 9)))
    with pytest.raises(ShapeError, match=r"tokens must be int64 of shape \[lanes, time\], got torch.float32"):
        make(name)(torch.zeros(2, 9, 5))


@pytest.mark.parametrize("scale", [0.0, 1e-42, 1e3, 1e30])
@pytest.mark.parametrize(("name", "fields"), VARIANTS, ids=str)
def test_extreme_inputs_stay_finite_with_their_gradients(name: str, fields: dict[str, Any], scale: float) -> None:
    model = make(name, input_size=5, **fields)
    vectors = (torch.randn(2, 40, 5) * scale).requires_grad_()
    outputs, memory = model(vectors)
    outputs.sum().backward()
    assert bool(outputs.isfinite().all())
    assert all(bool(leaf.isfinite().all()) for leaf in memory.flatten().values())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [0.0, 1e6])
def test_extreme_weights_of_the_interface_stay_finite(name: str, factor: float) -> None:
    model = make(name)
    with torch.no_grad():
        model.interface.weight.mul_(factor)
        model.interface.bias.mul_(factor)
    memory = None
    for _ in range(10):
        losses, memory, _ = model.token_losses(torch.randint(11, (2, 32)), torch.randint(11, (2, 32)), memory)
        losses.sum().backward()
        memory = memory.detach()
    assert all(bool(leaf.isfinite().all()) for leaf in memory.flatten().values())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("scale", [1e-42, 1e4])
@pytest.mark.parametrize(("name", "fields"), VARIANTS, ids=str)
def test_extreme_weights_of_everything_stay_finite(name: str, fields: dict[str, Any], scale: float) -> None:
    """The controller and the answer too: where all weights are tiny, and where every gate is shut or open."""
    model = make(name, **fields)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    losses, memory, _ = model.token_losses(torch.randint(11, (2, 40)), torch.randint(11, (2, 40)))
    losses.sum().backward()
    assert all(bool(leaf.isfinite().all()) for leaf in (losses, *memory.flatten().values()))
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_usage_order_and_links_are_computed_in_float32_under_autocast(name: str) -> None:
    """From the same input, all that the memory holds is bit for bit what it is without autocast."""
    model = make(name, input_size=5)
    vectors = torch.randn(2, 20, 5)
    known = model.from_input.weight.new_zeros(2, 20, model.config.d_model).normal_()
    model.embedding.register_forward_hook(lambda *_: known)
    _, plain = model(vectors)
    with torch.autocast("cpu", torch.bfloat16):
        _, mixed = model(vectors)
    for field, leaf in plain.flatten().items():
        assert torch.equal(getattr(mixed, field), leaf), field


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_that_nobody_holds_is_gone_at_once(name: str) -> None:
    """What the steps kept goes with the outputs: no cycle holds a chunk's memories until the collector comes by."""
    model = make(name)
    gc.collect()
    gc.disable()
    try:
        logits, memory = model(torch.randint(11, (2, 9)))
        node = weakref.ref(memory.matrix.grad_fn)
        assert "_Run" in type(node()).__name__
        logits.sum().backward()
        del logits, memory
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("differentiable", [True, False])
def test_a_chunk_that_is_only_read_keeps_no_step(name: str, differentiable: bool) -> None:
    """However long the chunk, what its steps computed is gone with the next step where nobody asks for gradients."""
    model = make(name)
    held: list[Any] = []
    access = model.arithmetic.access
    inner = access.step

    def step(told: Tensor, leaves: Any) -> Any:
        done = inner(told, leaves)
        held.append(weakref.ref(done[1][0]))
        return done

    access.step = step
    with torch.set_grad_enabled(differentiable):
        outputs = model(torch.randint(11, (2, 20)))
    assert sum(ref() is not None for ref in held) == (20 if differentiable else 0)
    del outputs


@pytest.mark.parametrize("name", NAMES)
def test_a_chunk_is_kept_in_pieces_where_activations_are_computed_again(name: str) -> None:
    model = make(name).train()
    model.recompute = True
    calls: list[int] = []
    inner = model._run_piece
    model._run_piece = lambda known, state: (calls.append(known.shape[1]), inner(known, state))[1]
    model(torch.randint(11, (2, 40)))[0].sum().backward()
    assert sorted(calls) == [8, 8, 16, 16, 16, 16]


def test_models_can_be_built_by_class() -> None:
    assert NTM(NTMConfig(n_writes=2)).config.n_writes == 2
    assert DNC(DNCConfig(deallocate=True)).config.deallocate
    assert MANN(MANNConfig(usage_decay=0.9)).config.usage_decay == 0.9
