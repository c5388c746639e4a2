"""The hierarchical Transformer against its one-by-one twin, the flat Transformer, and what may depend on what."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import everlong.models.hierarchical_transformer as module
from everlong.clock import tick
from everlong.models.hierarchical_transformer import HierarchicalTransformer, HierarchicalTransformerConfig
from everlong.models.transformer import Transformer, TransformerConfig
from everlong.nn.paragraphs import Open, Paragraphs, in_paragraphs
from everlong.testing import broken_laws
from everlong.testing.subject import stir_weights
from tests.reference.hierarchical_transformer import hidden_one_by_one, paragraphs_of

SMALL = {"vocab_size": 7, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12, "segment": 4, "n_paragraphs": 2}
FORMS: list[dict[str, Any]] = [
    {},
    {"paragraph_token": 3, "segment": 6, "n_layers": 3},
    {"encoder_layers": 0, "n_heads": 1},
    {"n_layers": 3, "encoder_layers": 2, "n_paragraphs": 9, "segment": 3},
]


def make(**fields: Any) -> HierarchicalTransformer:
    model = HierarchicalTransformer(HierarchicalTransformerConfig(**{**SMALL, **fields})).double().eval()
    stir_weights(model, seed=4)
    return model


def some_tokens(time: int = 17, lanes: int = 2) -> Tensor:
    return torch.randint(7, (lanes, time), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_equal_to_the_twin_values_and_gradients(fields: dict[str, Any], training: bool) -> None:
    model, tokens = make(**fields).train(training), some_tokens()
    mixture = torch.randn(2, 17, 7, dtype=torch.float64)
    expected = torch.stack([model.head.logits(hidden_one_by_one(model, row)[None])[0] for row in tokens.tolist()])
    found, _ = model(tokens)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weights = list(model.parameters())
    ours, theirs = (torch.autograd.grad((logits * mixture).sum(), weights) for logits in (found, expected))
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def test_paragraphs_are_those_of_the_twin_however_the_stream_is_cut() -> None:
    text = [3, 0, 1, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 3, 1, 3]
    expected = paragraphs_of(text, longest=3, separator=3)
    assert [len(paragraph) for paragraph in expected] == [1, 3, 2, 3, 3, 2, 2]
    for size in (1, 2, 3, 5, 16):
        stands, position, found = Open(torch.zeros(1).long(), torch.zeros(1).long(), torch.zeros(1).bool()), 0, []
        for chunk in torch.tensor([text]).split(size, dim=1):
            clock = tick(torch.tensor([position]), time=chunk.shape[1], starts=None, lengths=None)
            paragraphs = in_paragraphs(chunk, clock, stands, longest=3, separator=3)
            found += paragraphs.above[0].tolist()
            stands, position = paragraphs.after(stands), position + chunk.shape[1]
        assert found == [k for k, paragraph in enumerate(expected) for _ in paragraph]


def test_one_paragraph_is_a_flat_transformer() -> None:
    model = make(segment=20, n_layers=4)
    flat = Transformer(TransformerConfig(vocab_size=7, d_model=8, n_layers=4, n_heads=2, d_ff=12, context=20)).double()
    for name in ("embedding", "norm", "head"):
        flat.get_submodule(name).load_state_dict(model.get_submodule(name).state_dict())
    for theirs, ours in zip(flat.layers, [*model.encoder, *model.decoder], strict=True):
        theirs.load_state_dict({name: x for name, x in ours.state_dict().items() if name != "recall.weight"})
    tokens = some_tokens(20)
    torch.testing.assert_close(model(tokens)[0], flat(tokens)[0], rtol=0, atol=1e-12)
    longer = some_tokens(21)
    assert bool(((model(longer)[0] - flat(longer)[0]).abs().amax(dim=-1)[:, 20] > 1e-6).all())


def test_a_changed_paragraph_changes_itself_and_later_ones_and_nothing_before() -> None:
    model, tokens = make(n_paragraphs=1), some_tokens(20, lanes=1)
    whole, _ = model(tokens)
    for k in range(5):
        other = tokens.clone()
        other[:, 4 * k] = (other[:, 4 * k] + 1) % 7
        moved = (model(other)[0] - whole).abs().amax(dim=-1)[0] > 1e-9
        assert not bool(moved[: 4 * k].any())
        # Through the recurrence, far beyond the one summary that is seen.
        assert bool(moved[4 * k :].all())


def test_an_open_paragraph_is_seen_word_for_word_and_a_finished_one_by_its_summary_alone() -> None:
    """Summaries of embeddings do not know an order, so two tokens of a finished paragraph may change places."""
    model, tokens = make(encoder_layers=0, n_layers=1), some_tokens(8, lanes=1)
    tokens[0, 1], tokens[0, 2] = 5, 6
    swapped = tokens[:, [0, 2, 1, *range(3, 8)]]
    moved = (model(swapped)[0] - model(tokens)[0]).abs().amax(dim=-1)[0] > 1e-9
    assert moved.tolist() == [False, True, True, True, False, False, False, False]


def test_a_loss_reaches_back_through_summaries_until_the_memory_is_detached() -> None:
    model, tokens = make().train(), some_tokens(12)
    for detach in (False, True):
        model.zero_grad()
        _, memory = model(tokens[:, :8])
        logits, _ = model(tokens[:, 8:9], memory.detach() if detach else memory)
        logits.sum().backward()
        grad = model.summarizer.score.context.grad
        assert grad is not None
        # Of the paragraph that this token finishes, the sum so far came with the memory.
        assert bool(grad.any()) is not detach


def leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token sees the summary of its own paragraph, where the chunk has it."""
    true = Paragraphs.look_up

    def unshifted(self: Paragraphs, slots: int) -> Any:
        own = (self.done < self.counts[:, None]).long()
        return true(replace(self, done=self.done + own, above=self.above + own), slots)

    monkeypatch.setattr(Paragraphs, "look_up", unshifted)


def counts_from_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paragraphs begin where the caller's chunk does."""

    def from_the_call(tokens: Tensor, clock: Any, before: Open, **sizes: Any) -> Paragraphs:
        nothing = Open(torch.zeros_like(before.length), before.above, torch.zeros_like(before.separated))
        return in_paragraphs(tokens, clock, nothing, **sizes)

    monkeypatch.setattr(module, "in_paragraphs", from_the_call)


@pytest.mark.parametrize(("mistake", "law"), [(leaks, "causal"), (counts_from_the_call, "split-invariant")])
def test_a_mistake_is_caught(mistake: Any, law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_laws(make()) == {}
    mistake(monkeypatch)
    assert law in broken_laws(make())


def test_a_token_alone_costs_no_more_after_a_long_document() -> None:
    """What a step reads is fixed: the ring of one paragraph and the ring of summaries."""
    model = make()
    memory = model.init_memory(1)
    with torch.inference_mode():
        for token in some_tokens(90, lanes=1)[0]:
            _, memory = model(token[None, None], memory)
    assert memory.nbytes == model.init_memory(1).nbytes
    assert (int(memory.position), int(memory.above), int(memory.length)) == (90, 22, 2)
