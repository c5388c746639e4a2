"""Sparse Transformer against its sets (tests/reference), and the facts S1 to S5 of its paper."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.clock import tick
from everlong.models import LanguageModel, create_model
from everlong.models.sparse_transformer import SparseTransformerConfig
from everlong.nn.patterns import Kind
from everlong.nn.rows import in_rows
from everlong.testing.subject import stir_weights
from tests.parity.test_transformer_xl import influence
from tests.reference.sparse_transformer import read, sees

SMALL: dict[str, Any] = {
    "vocab_size": 13,
    "d_model": 8,
    "n_layers": 2,
    "n_heads": 2,
    "d_ff": 12,
    "stride": 4,
    "context": 12,
    "summary": 1,
    "sub_blocks": 2,
}
TIME = 26


def make(**fields: Any) -> LanguageModel[Any]:
    torch.manual_seed(0)
    model = create_model("sparse-transformer", **{**SMALL, **fields}).double().eval()
    stir_weights(model, seed=1)
    return model


def config(**fields: Any) -> SparseTransformerConfig:
    return SparseTransformerConfig(**{**SMALL, **fields})


def random_tokens(time: int = TIME, *, lanes: int = 2) -> Tensor:
    return torch.randint(SMALL["vocab_size"], (lanes, time), generator=torch.Generator().manual_seed(2))


def in_pieces(model: LanguageModel[Any], tokens: Tensor, size: int) -> Tensor:
    pieces, memory = [], None
    for at in range(0, tokens.shape[1], size):
        logits, memory = model(tokens[:, at : at + size], memory)
        pieces.append(logits)
    return torch.cat(pieces, dim=1)


SIZES = [
    {},
    {"context": 4},
    {"context": 8},
    {"context": 40},
    {"stride": 5, "context": 20, "summary": 2},
    {"stride": 1, "context": 7, "sub_blocks": 1},
    {"n_heads": 4, "sub_blocks": 3, "n_layers": 3},
]


@pytest.mark.parametrize("fields", SIZES, ids=str)
@pytest.mark.parametrize("heads", ["merged", "split", "interleaved"])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_s1_the_model_is_its_twin_however_it_is_cut(pattern: str, heads: str, fields: dict[str, Any]) -> None:
    model, tokens = make(pattern=pattern, heads=heads, **fields), random_tokens()
    with torch.no_grad():
        expected = torch.stack([read(model, lane) for lane in tokens])
        for size in (TIME, 17, 8, 5, 3, 1):
            torch.testing.assert_close(in_pieces(model, tokens, size), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("heads", ["merged", "split", "interleaved"])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_s1_gradients_are_the_twins(pattern: str, heads: str) -> None:
    model, tokens = make(pattern=pattern, heads=heads).train(), random_tokens(lanes=1)
    mixture = torch.randn(TIME, SMALL["vocab_size"], dtype=torch.float64)
    weights = list(model.parameters())
    expected = torch.autograd.grad((read(model, tokens[0]) * mixture).sum(), weights)
    for size in (TIME, 7):
        found = torch.autograd.grad((in_pieces(model, tokens, size)[0] * mixture).sum(), weights)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("heads", ["merged", "split", "interleaved"])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_s2_two_layers_connect_any_two_tokens(pattern: str, heads: str) -> None:
    seen = influence(make(pattern=pattern, heads=heads, context=24), random_tokens(24, lanes=1))
    assert torch.equal(seen, torch.ones(24, 24, dtype=torch.bool).tril())


@pytest.mark.parametrize("fields", SIZES, ids=str)
@pytest.mark.parametrize("heads", ["merged", "split", "interleaved"])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_s3_every_head_sees_the_token_itself(pattern: str, heads: str, fields: dict[str, Any]) -> None:
    """The paper's summary columns alone leave 12 of 256 tokens nothing to see, and 192 do not see themselves."""
    c = config(pattern=pattern, heads=heads, **fields)
    for layer in range(c.n_layers):
        for head in range(c.n_heads):
            assert all(i in sees(c, layer, head, i) for i in range(30))


def pairs(c: SparseTransformerConfig, kind: Kind, n: int) -> int:
    """How many pairs of query and key the plan for a whole document shows to a head, on average."""
    rows = in_rows(tick(torch.tensor([0]), time=n, starts=None, lengths=None), c.stride)
    view = c.layout.view(rows, kinds=[kind])
    line = torch.zeros(1, n, c.far_heads)
    past, finished = view.past(torch.zeros(1, 1, c.layout.shelf, c.far_heads))[:, 0], view.finished(line)
    total = 0
    for part in view.lines(kind, (line, line), (past, past), (finished, finished)):
        for block in part.sight.blocks:
            queries, keys = (len(range(span.stop)[span]) for span in (block.queries, block.keys))
            everything = torch.ones(1, queries, keys, dtype=torch.bool).tril(keys - queries)
            shown = everything if block.visible is None else block.visible
            total += int(shown.sum()) * len(range(c.far_heads)[block.heads or slice(None)])
    return total // c.far_heads


@pytest.mark.parametrize(("pattern", "density"), [("strided", 0.179), ("fixed", 0.300)])
def test_s4_density_of_the_papers_example(pattern: str, density: float) -> None:
    c = config(pattern=pattern, stride=16, context=256, summary=4, sub_blocks=1)
    found = pairs(c, "both", 256)
    assert found == sum(len(sees(c, 0, 0, i)) for i in range(256))
    assert found / (256 * 257 / 2) == pytest.approx(density, abs=5e-4)


@pytest.mark.parametrize("heads", ["merged", "split"])
@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_s4_the_plan_shows_what_the_sets_hold_and_no_more_than_their_bounds(pattern: str, heads: str) -> None:
    n, stride, summary = 60, 6, 2
    c = config(pattern=pattern, heads=heads, stride=stride, context=n, summary=summary, sub_blocks=1)
    sets = [sees(c, 0, c.n_heads - 1, i) for i in range(n)]
    assert pairs(c, "both" if heads == "merged" else "far", n) == sum(map(len, sets))
    bound = stride + n // stride - 1 if pattern == "strided" else stride + summary * (n // stride - 1)
    assert max(map(len, sets)) <= bound


def test_s5_a_row_as_long_as_the_document_is_dense_attention() -> None:
    tokens = random_tokens()
    strided, fixed = (make(pattern=pattern, stride=26, context=26) for pattern in ("strided", "fixed"))
    seen = influence(make(pattern="fixed", stride=26, context=26, n_layers=1), random_tokens(lanes=1))
    torch.testing.assert_close(strided(tokens)[0], fixed(tokens)[0], rtol=0, atol=1e-12)
    assert torch.equal(seen, torch.ones(26, 26, dtype=torch.bool).tril())


@pytest.mark.parametrize(("pattern", "slots"), [("strided", 4096 - 64), ("fixed", 63 * 8)])
def test_what_a_lane_remembers_is_a_ring_and_a_shelf(pattern: str, slots: int) -> None:
    c = {"pattern": pattern, "stride": 64, "context": 4096, "summary": 8, "sub_blocks": 4, "n_heads": 4, "d_model": 8}
    memory = make(**c).init_memory(1)
    assert memory.recent.shape == (1, 4, 65 if pattern == "strided" else 64, 8)
    assert memory.shelf.shape == (1, 4, slots, 8)
    assert make(**c, heads="split").init_memory(1).shelf.shape == (1, 4, slots, 4)
    assert make(**c, heads="interleaved").init_memory(1).shelf.shape == (1, 2, slots, 8)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_a_token_moves_the_shelf_only_when_its_row_ends(pattern: str) -> None:
    model, tokens = make(pattern=pattern), random_tokens(12)
    memory = model.init_memory(2)
    with torch.inference_mode():
        for t in range(12):
            _, after = model(tokens[:, t : t + 1], memory)
            assert (after.shelf is memory.shelf) == (t % 4 != 3)
            memory = after


def test_heads_keep_summaries_of_their_own() -> None:
    model, tokens = make(n_heads=4, summary=1, sub_blocks=3), random_tokens(4, lanes=1)
    with torch.inference_mode():
        _, memory = model(tokens)
    recent, shelf = (leaf[0].unflatten(-1, (4, 2)) for leaf in (memory.recent, memory.shelf))
    for head, column in enumerate([3, 2, 1, 3]):
        assert torch.equal(shelf[:, -1, head], recent[:, column, head])


def test_weights_begin_smaller_where_the_stream_is_added_to() -> None:
    model = create_model("sparse-transformer", d_model=128, n_layers=2, d_ff=512)
    for name, leaf in model.named_parameters():
        parameter = leaf.detach()
        if parameter.ndim == 2:
            spread = 0.5 / parameter.shape[1] ** 0.5 / (2.0 if name.endswith(("out.weight", "down.weight")) else 1.0)
            assert float(parameter.std()) == pytest.approx(spread, rel=0.05), name
        elif name.endswith("bias"):
            assert not parameter.any(), name
