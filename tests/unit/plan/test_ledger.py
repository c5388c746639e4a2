import torch
import torch.nn.functional as F
from torch import nn

from everlong.models import create_model
from everlong.nn.window import query_block
from everlong.plan.ledger import FEED_FORWARD, HEAD, PAIRS, WEIGHTS, Counts, combine, count
from everlong.plan.trial import training_trial
from tests.unit.plan.conftest import setup_of


def test_products_are_counted_forwards_and_backwards() -> None:
    layer, x = nn.Linear(6, 10, bias=False), torch.randn(4, 6, requires_grad=True)
    assert count(lambda: layer(x)).operations == 2 * 4 * 6 * 10
    assert count(lambda: layer(x).sum().backward()).operations == 3 * 2 * 4 * 6 * 10


def test_products_with_vectors_and_recurrent_layers_are_counted() -> None:
    assert count(lambda: torch.mv(torch.ones(3, 5), torch.ones(5))).operations == 2 * 15
    cells, x = nn.LSTM(4, 8, batch_first=True), torch.randn(2, 7, 4)
    with torch.no_grad():
        assert count(lambda: cells(x)).operations == 2 * 2 * 7 * (4 * 8 * 4 + 4 * 8 * 8)


def test_fused_attention_is_counted() -> None:
    q = torch.randn(2, 3, 5, 4, requires_grad=True)
    one = 2 * 2 * 3 * 5 * 5 * 4
    assert count(lambda: F.scaled_dot_product_attention(q, q, q)).operations == 2 * one
    assert count(lambda: F.scaled_dot_product_attention(q, q, q).sum().backward()).operations == (2 + 5) * one


def test_activations_kept_by_a_stack_of_maps_are_exact() -> None:
    stack = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())
    x = torch.randn(5, 8)
    # A Tanh keeps its result, and the next Linear the same one; the first Tanh's input is let go.
    assert count(lambda: stack(x)).kept == 2 * 5 * 8 * 4
    with torch.no_grad():
        assert count(lambda: stack(x)).kept == 5 * 8 * 4


def test_a_forward_pass_within_a_run_is_told_by_itself() -> None:
    stack, x = nn.Sequential(nn.Linear(8, 8), nn.Tanh()), torch.randn(5, 8)
    whole = count(lambda: (stack(x).sum().backward(), stack(x)), stack, forward=stack)
    alone = count(lambda: stack(x), stack)
    assert (whole.kept, whole.parts) == (alone.kept, alone.parts) == (5 * 8 * 4, {WEIGHTS: 2 * 5 * 8 * 8})
    # Twice forwards, and once backwards for the weight alone.
    assert whole.operations == 3 * alone.operations


def test_a_peak_is_of_what_is_alive_together() -> None:
    def run() -> torch.Tensor:
        first = torch.zeros(100)
        second = first + 1
        del first
        third = second + 1
        del second
        return third + 1

    found = count(run)
    assert (found.peak, found.kept, found.calls) == (800, 400, 4)


def test_gradients_are_alive_late() -> None:
    layer = nn.Linear(50, 50, bias=False)
    x = torch.randn(1, 50)

    def run() -> None:
        layer.weight.grad = None
        layer(x).sum().backward()

    # With it the loss and the gradient that the backward pass begins with.
    assert count(run, layer).late == 50 * 50 * 4 + 2 * 4


def test_operations_of_a_transformer_are_those_of_its_formula() -> None:
    lanes, time, context, d, d_ff, layers, vocab = 2, 24, 8, 16, 32, 3, 32
    setup = setup_of(n_layers=layers, lanes=lanes, chunk=time, d_ff=d_ff, context=context)
    found = training_trial(setup).counts()
    assert time <= query_block(context), "the chunk is one block of queries"
    rows = lanes * time
    # A block's line holds what its first query sees before it, and the block.
    pairs = rows * (time + context - 1)
    assert found.parts == {
        HEAD: 2 * rows * d * vocab,
        FEED_FORWARD: layers * 2 * rows * 2 * d * d_ff,
        WEIGHTS: layers * 2 * rows * 4 * d * d,
        PAIRS: layers * 2 * pairs * 2 * d,
    }
    of_weights = found.parts[HEAD] + found.parts[FEED_FORWARD] + found.parts[WEIGHTS]
    assert found.operations == 3 * of_weights + 3.5 * found.parts[PAIRS]


def test_a_tied_table_is_the_heads() -> None:
    model = create_model("transformer", vocab_size=8, d_model=8, n_layers=1, n_heads=2, d_ff=8)
    assert HEAD in count(lambda: model(torch.zeros(1, 2, dtype=torch.int64)), model).parts


def test_combining_is_linear() -> None:
    one, two = (
        Counts(operations=1, calls=2, early=5, late=1, parts={"a": 1}),
        Counts(operations=10, late=9, parts={"b": 4}),
    )
    both = combine([(2, one), (-1, two)])
    assert (both.operations, both.calls, both.early, both.late, both.parts) == (-8, 4, 10, -7, {"a": 2, "b": -4})
    assert both.peak == 10
