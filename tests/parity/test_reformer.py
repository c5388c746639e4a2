"""Reformer against its paper: the equations one by one, and the tests R1 to R7."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everlong.errors import ConfigError
from everlong.models import Encoder, LanguageModel, create_model
from everlong.nn.hashing import bucket_of, draw_rotations
from everlong.nn.lsh_attention import attend_chunks
from everlong.testing.subject import stir_weights
from tests.reference.reformer import read, read_encoder, shared_attention_one_by_one

SMALL: dict[str, Any] = {
    "vocab_size": 13,
    "d_model": 8,
    "n_layers": 2,
    "n_heads": 2,
    "d_ff": 12,
    "n_hashes": 2,
    "n_buckets": 4,
    "bucket_size": 3,
    "window": 4,
}


def make(name: str = "reformer", **fields: Any) -> Any:
    torch.manual_seed(0)
    sizes = {**SMALL, "context": 9} if name == "reformer" else SMALL
    model = create_model(name, **{**sizes, **fields}).double().eval()
    stir_weights(model, seed=1)
    return model


def random_tokens(time: int, *, lanes: int = 2) -> Tensor:
    return torch.randint(SMALL["vocab_size"], (lanes, time), generator=torch.Generator().manual_seed(2))


def shared(time: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, which made one long are keys, and values."""
    rng = torch.Generator().manual_seed(seed)
    query, value = (torch.randn(2, time, 2, 4, generator=rng, dtype=dtype) for _ in range(2))
    return 2 * query, F.normalize(query, dim=-1), value


def hashed(query: Tensor, *, n_hashes: int, seed: int, n_buckets: int = 4) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    turns = draw_rotations(rng, n_hashes=n_hashes, n_heads=2, width=query.shape[3], n_buckets=n_buckets)
    return bucket_of(query, turns)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"layers": ("lsh",), "n_layers": 3},
        {"count_duplicates": False, "n_hashes": 3},
        {"positions": "axial", "axial_shape": (3, 4), "axial_widths": (3, 5)},
        {"reversible": False, "ff_piece": 5},
    ],
    ids=str,
)
def test_the_model_is_its_equations(fields: dict[str, Any], training: bool) -> None:
    model, tokens = make(**fields).train(training), random_tokens(19)
    torch.testing.assert_close(model(tokens)[0], read(model, tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "fields",
    [{}, {"layers": ("lsh",), "bucket_size": 30}, {"positions": "axial", "count_duplicates": False, "n_hashes": 3}],
    ids=str,
)
def test_the_encoder_is_its_equations(fields: dict[str, Any], training: bool) -> None:
    encoder, tokens = make("reformer-encoder", **fields).train(training), random_tokens(17)
    torch.testing.assert_close(encoder(tokens), read_encoder(encoder, tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize("count_duplicates", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("n_hashes", [1, 2, 5])
@pytest.mark.parametrize("chunk", [6, 11, 40])
def test_r1_chunks_that_cover_the_text_are_dense_attention_whatever_the_hashes(
    chunk: int, n_hashes: int, causal: bool, count_duplicates: bool
) -> None:
    """R6 as well: seeds do not matter then. Two chunks cover the text too, each seeing the other."""
    given = shared(11)
    expected = torch.stack([shared_attention_one_by_one(*(x[n] for x in given), causal=causal) for n in range(2)])
    for seed in (0, 1):
        buckets = hashed(given[0], n_hashes=n_hashes, seed=seed)
        options: dict[str, Any] = {"chunk": chunk, "causal": causal, "count_duplicates": count_duplicates}
        found = attend_chunks(*given, buckets, **options)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
        single = attend_chunks(*(x.float() for x in given), buckets, **options)
        torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-6)


def test_r2_the_first_token_sees_itself() -> None:
    for n_hashes in (1, 4):
        given = shared(9, dtype=torch.float32)
        buckets = hashed(given[0], n_hashes=n_hashes, seed=0)
        found = attend_chunks(*given, buckets, chunk=3, causal=True, count_duplicates=True)
        assert torch.equal(found[:, 0], given[2][:, 0])


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", ["reformer", "reformer-encoder"])
def test_r3_reversible_gradients_are_plain_ones_under_dropout_too(name: str, dropout: float) -> None:
    models = [make(name, reversible=reversible, dropout=dropout, n_layers=4).train() for reversible in (True, False)]
    tokens, found = random_tokens(23), []
    for model in models:
        torch.manual_seed(3)
        losses = model.token_losses(tokens, tokens)
        loss = (losses if isinstance(model, Encoder) else losses[0]).sum()
        found.append(torch.autograd.grad(loss, list(model.parameters())))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_r4_a_feed_forward_map_in_pieces_is_the_same_map(piece: int) -> None:
    tokens = random_tokens(19)
    whole, pieces = make()(tokens)[0], make(ff_piece=piece)(tokens)[0]
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12)


def test_r7_more_rounds_find_more_of_what_attention_looks_for() -> None:
    """The share of each query's best eight keys of 200 that some round puts into its bucket."""
    query, key, _ = shared(200)
    scores = torch.einsum("bthe,bshe->bhts", query, key).diagonal_scatter(torch.full((2, 2, 200), -9e9), dim1=2, dim2=3)
    best = scores.topk(8, dim=-1).indices
    shares = []
    for n_hashes in (1, 2, 4, 8):
        buckets = hashed(query, n_hashes=n_hashes, seed=0, n_buckets=16)
        meet = (buckets[..., :, None] == buckets[..., None, :]).any(dim=2)
        shares.append(float(meet.gather(-1, best).float().mean()))
    assert shares == sorted(shares)
    assert shares[3] > 1.5 * shares[0]


def test_rounds_may_be_more_or_fewer_at_evaluation_than_in_training() -> None:
    model, tokens = make(n_hashes=4), random_tokens(19)
    for n_hashes in (1, 2, 8):
        other = model.with_config(n_hashes=n_hashes)
        kept, now = (m.branches[2].project.rotations for m in (model, other))
        shared_rounds = min(4, n_hashes)
        assert torch.equal(now[:shared_rounds], kept[:shared_rounds])
        torch.testing.assert_close(other(tokens)[0], read(other, tokens), rtol=0, atol=1e-12)
    with pytest.raises(ConfigError, match=r"d_ff=9 changes the weights of this reformer"):
        model.with_config(d_ff=9)


def test_rotations_are_part_of_the_weights_and_differ_from_layer_to_layer() -> None:
    model = make(layers=("lsh",))
    first, second = (model.branches[n].project.rotations for n in (0, 2))
    assert not torch.equal(first, second)
    before = model.weights_digest()
    first[0, 0, 0, 0] += 1
    assert model.weights_digest() != before


def test_a_memory_keeps_each_token_once_however_many_the_rounds() -> None:
    def bytes_of(model: LanguageModel[Any]) -> int:
        return model.init_memory(1).nbytes

    two, four = make(n_hashes=2, layers=("lsh",)), make(n_hashes=4, layers=("lsh",))
    # Two more rounds are two more int16 for each layer, slot and head.
    assert bytes_of(four) - bytes_of(two) == 2 * 9 * 2 * 2 * 2
    assert bytes_of(two) == 8 + 2 * 9 * (16 * 8 + 2 * 2 * 2)
