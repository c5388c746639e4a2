"""Heads against their one-token twins."""

import pytest
import torch
from torch import Tensor, nn

from everlong.heads import AdaptiveEmbedding, AdaptiveHead, LinearHead, MaskedTokenHead
from everlong.shapes import IGNORE
from everlong.testing.subject import stir_weights
from tests.reference.adaptive import embed_one, log_probability_one

VOCAB, WIDTH, CUTOFFS = 13, 8, (4, 7, 9)
EDGES = (0, *CUTOFFS, VOCAB)


def adaptive(*, div_val: int, d_embed: int = WIDTH) -> tuple[AdaptiveEmbedding, AdaptiveHead]:
    embedding = AdaptiveEmbedding(vocab_size=VOCAB, d_embed=d_embed, d_model=WIDTH, cutoffs=CUTOFFS, div_val=div_val)
    head = AdaptiveHead(embedding)
    for module in (embedding, head):
        for parameter in module.parameters():
            nn.init.normal_(parameter)
        module.double()
    return embedding, head


def tables_of(
    embedding: AdaptiveEmbedding, head: AdaptiveHead
) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """Tables, biases, input projections and output projections, one of each a cluster."""
    clusters = range(len(EDGES) - 1)
    eye = torch.eye(WIDTH, dtype=torch.float64)
    if embedding.div_val == 1:
        table, bias = embedding.tables[0].weight, head.biases[0]
        tables = [table[EDGES[c] : EDGES[c + 1]] for c in clusters]
        biases = [bias[EDGES[c] : EDGES[c + 1]] for c in clusters]
        enter = [embedding.projections[0] if len(embedding.projections) else eye] * len(clusters)
        leave = [head.projections[0] if len(head.projections) else eye] * len(clusters)
        return tables, biases, enter, leave
    return [t.weight for t in embedding.tables], list(head.biases), list(embedding.projections), list(head.projections)


@pytest.mark.parametrize(("div_val", "d_embed"), [(1, WIDTH), (1, 6), (2, WIDTH)])
def test_adaptive_embedding_is_its_twin(div_val: int, d_embed: int) -> None:
    embedding, head = adaptive(div_val=div_val, d_embed=d_embed)
    tables, _, enter, _ = tables_of(embedding, head)
    tokens = torch.randint(VOCAB, (2, 30))
    found = embedding(tokens)
    for lane in range(2):
        for t in range(30):
            expected = embed_one(int(tokens[lane, t]), tables=tables, projections=enter, edges=EDGES)
            torch.testing.assert_close(found[lane, t], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("div_val", "d_embed"), [(1, WIDTH), (1, 6), (2, WIDTH)])
def test_adaptive_head_is_its_twin_in_token_order(div_val: int, d_embed: int) -> None:
    embedding, head = adaptive(div_val=div_val, d_embed=d_embed)
    tables, biases, _, leave = tables_of(embedding, head)
    hidden, targets = torch.randn(2, 9, WIDTH, dtype=torch.float64), torch.randint(VOCAB, (2, 9))
    logits, losses = head.logits(hidden), head.losses(hidden, targets)
    for lane in range(2):
        for t in range(9):
            expected = [
                log_probability_one(
                    hidden[lane, t],
                    token,
                    tables=tables,
                    biases=biases,
                    projections=leave,
                    cluster_weight=head.cluster_weight,
                    cluster_bias=head.cluster_bias,
                    edges=EDGES,
                )
                for token in range(VOCAB)
            ]
            torch.testing.assert_close(logits[lane, t], torch.stack(expected), rtol=0, atol=1e-12)
            torch.testing.assert_close(losses[lane, t], -expected[int(targets[lane, t])], rtol=0, atol=1e-12)
    torch.testing.assert_close(logits.exp().sum(dim=-1), torch.ones(2, 9, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("div_val", [1, 2])
def test_one_token_in_a_cluster_or_none(div_val: int) -> None:
    """The authors' `nonzero().squeeze()` breaks here."""
    _, head = adaptive(div_val=div_val)
    hidden = torch.randn(1, 1, WIDTH, dtype=torch.float64)
    for token in range(VOCAB):
        loss = head.losses(hidden, torch.tensor([[token]]))
        torch.testing.assert_close(loss[0, 0], -head.logits(hidden)[0, 0, token], rtol=0, atol=1e-12)


@pytest.mark.parametrize("div_val", [1, 2])
def test_adaptive_gradients(div_val: int) -> None:
    embedding, head = adaptive(div_val=div_val)
    tokens, targets = torch.randint(VOCAB, (1, 12)), torch.randint(VOCAB, (1, 12))
    targets[0, 3] = IGNORE
    both = nn.ModuleDict({"embedding": embedding, "head": head})

    def run(hidden: Tensor, *_parameters: Tensor) -> Tensor:
        return head.losses(hidden + embedding(tokens) / 5, targets)

    inputs = (torch.randn(1, 12, WIDTH, dtype=torch.float64, requires_grad=True), *both.parameters())
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def test_tables_are_shared_and_the_first_projection_is_free() -> None:
    embedding, head = adaptive(div_val=2)
    assert all(ours is theirs for ours, theirs in zip(head.tables, embedding.tables, strict=True))
    assert head.projections[0] is not embedding.projections[0]
    assert all(a is b for a, b in zip(list(head.projections)[1:], list(embedding.projections)[1:], strict=True))


@pytest.mark.parametrize("tied", [True, False])
def test_linear_head(tied: bool) -> None:
    embedding = nn.Embedding(VOCAB, WIDTH)
    head = LinearHead(embedding, tied=tied)
    assert (head.weight is embedding.weight) == tied
    stir_weights(head, seed=0)
    hidden, targets = torch.randn(2, 5, WIDTH), torch.randint(VOCAB, (2, 5))
    targets[1, 2] = IGNORE
    logits, losses = head.logits(hidden), head.losses(hidden, targets)
    torch.testing.assert_close(logits, hidden @ head.weight.T + head.bias)
    expected = -logits.log_softmax(dim=-1).gather(2, targets.clamp(min=0)[..., None])[..., 0]
    expected[1, 2] = 0
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize("kind", ["linear", "adaptive"])
def test_a_target_to_ignore_has_no_loss_and_no_gradient(kind: str) -> None:
    head = LinearHead(nn.Embedding(VOCAB, WIDTH), tied=True).double() if kind == "linear" else adaptive(div_val=1)[1]
    hidden = torch.randn(1, 3, WIDTH, dtype=torch.float64, requires_grad=True)
    losses = head.losses(hidden, torch.tensor([[2, IGNORE, 9]]))
    assert losses[0, 1] == 0
    (gradient,) = torch.autograd.grad(losses.sum(), hidden)
    assert not gradient[0, 1].any()
    assert bool(gradient[0, 0].any() and gradient[0, 2].any())


def masked_head() -> MaskedTokenHead:
    head = MaskedTokenHead(nn.Embedding(VOCAB + 1, WIDTH)).double()
    stir_weights(head, seed=0)
    return head


def test_a_masked_head_answers_with_the_vocabulary_and_shares_its_table() -> None:
    embedding = nn.Embedding(VOCAB + 1, WIDTH)
    head = MaskedTokenHead(embedding)
    assert head.weight is embedding.weight
    assert head.logits(torch.randn(2, 3, WIDTH)).shape == (2, 3, VOCAB)


def test_a_masked_head_works_only_where_it_is_asked() -> None:
    head, seen = masked_head(), list[tuple[int, ...]]()
    head.transform.register_forward_hook(lambda _, given, __: seen.append(tuple(given[0].shape)))
    hidden, targets = torch.randn(2, 5, WIDTH, dtype=torch.float64), torch.full((2, 5), IGNORE)
    targets[0, 1], targets[1, 4] = 3, 7
    losses = head.losses(hidden, targets)
    assert seen == [(2, WIDTH)]
    expected = -head.logits(hidden).log_softmax(dim=-1)
    torch.testing.assert_close(losses[0, 1], expected[0, 1, 3], rtol=0, atol=1e-13)
    torch.testing.assert_close(losses[1, 4], expected[1, 4, 7], rtol=0, atol=1e-13)
    assert int(losses.count_nonzero()) == 2


def test_masked_gradients() -> None:
    head, targets = masked_head(), torch.tensor([[3, IGNORE, 0], [IGNORE, VOCAB - 1, IGNORE]])
    inputs = (torch.randn(2, 3, WIDTH, dtype=torch.float64, requires_grad=True), *head.parameters())
    assert torch.autograd.gradcheck(lambda hidden, *_: head.losses(hidden, targets), inputs, fast_mode=True)


def test_a_masked_head_that_is_asked_nothing_has_no_loss_and_gradients_of_zero() -> None:
    head = masked_head()
    losses = head.losses(torch.randn(1, 3, WIDTH, dtype=torch.float64), torch.full((1, 3), IGNORE))
    losses.sum().backward()
    assert not losses.any()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())
