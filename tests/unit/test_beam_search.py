"""Beam search: exhaustive where it can be, greedy with one beam, and each lane as if it were alone."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.errors import ConfigError, MemoryMismatch, RunError
from everlong.generate import GREEDY, Hypothesis, beam_search, generate
from everlong.models import LanguageModel, create_model, list_models
from everlong.testing.subject import stir_weights

NAMES = ["gru", "transformer", *list_models("seq2seq")]
LONGEST, END = 3, 0


def make(name: str, vocab: int = 4) -> LanguageModel[Any]:
    torch.manual_seed(1)
    model = create_model(name, vocab_size=vocab, d_model=8, n_layers=1).double().eval()
    stir_weights(model, seed=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model


def begun(model: LanguageModel[Any], lanes: int = 2) -> Any:
    rng = torch.Generator().manual_seed(4)
    source = torch.randint(model.config.vocab_size, (lanes, 5), generator=rng)
    return model.read(source) if hasattr(model, "read") else model(source)[1]


def log_probability(model: LanguageModel[Any], memory: Any, first: int, tokens: list[int]) -> float:
    logits, _ = model(torch.tensor([[first, *tokens[:-1]]]), memory)
    scores = logits[0].log_softmax(dim=-1)
    return sum(scores[n, token].item() for n, token in enumerate(tokens))


def all_hypotheses(model: LanguageModel[Any], memory: Any, first: int, alpha: float) -> list[tuple[float, list[int]]]:
    """Every text of up to LONGEST tokens that ends with END, and all of LONGEST tokens that do not; best first."""
    vocab, found = range(model.config.vocab_size), []
    for length in range(1, LONGEST + 1):
        for tokens in itertools.product(vocab, repeat=length):
            if END not in tokens[:-1] and (tokens[-1] == END or length == LONGEST):
                score = log_probability(model, memory, first, list(tokens)) / ((5 + length) / 6) ** alpha
                found.append((score, list(tokens)))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_with_beams_enough_it_finds_what_there_is(name: str, alpha: float) -> None:
    model = make(name)
    memory, first = begun(model), torch.tensor([1, 3])
    found = beam_search(model, memory, first, beams=100, max_new_tokens=LONGEST, length_penalty=alpha, end=END)
    for lane in range(2):
        expected = all_hypotheses(model, memory.select(torch.tensor([lane])), int(first[lane]), alpha)
        assert len(found[lane]) == len(expected) == 1 + 3 + 9 * 4
        for ours, (score, tokens) in zip(found[lane], expected, strict=True):
            assert ours.score == pytest.approx(score, abs=1e-10)
            assert [*ours.tokens, *([END] if ours.ended else [])] == tokens


@pytest.mark.parametrize("name", NAMES)
def test_with_one_beam_it_is_greedy(name: str) -> None:
    model = make(name, vocab=11)
    memory = begun(model, lanes=3)
    first = torch.tensor([1, 5, 7])
    found = beam_search(model, memory, first, beams=1, max_new_tokens=12, length_penalty=0.7, end=2)
    greedy = generate(model, first[:, None].tolist(), max_new_tokens=12, sampler=GREEDY, stop_ids=[2], memory=memory)
    assert [lane[0].tokens for lane in found] == greedy.tokens
    assert [lane[0].ended for lane in found] == greedy.stopped


@pytest.mark.parametrize("name", NAMES)
def test_a_lane_is_searched_as_if_it_were_alone(name: str) -> None:
    model = make(name, vocab=7)
    memory, first = begun(model, lanes=3), torch.tensor([1, 5, 3])
    together = beam_search(model, memory, first, beams=3, max_new_tokens=9, length_penalty=0.6, end=END)
    for lane in range(3):
        only = torch.tensor([lane])
        alone = beam_search(
            model, memory.select(only), first[only], beams=3, max_new_tokens=9, length_penalty=0.6, end=END
        )
        assert [one.tokens for one in alone[0]] == [one.tokens for one in together[lane]]


def test_a_source_is_copied_once_for_all_hypotheses_of_a_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("encoder-decoder", vocab=7)
    options = {"beams": 3, "max_new_tokens": 9, "length_penalty": 0.6}
    memory, first = begun(model), torch.tensor([1, 5])
    kept = beam_search(model, memory, first, **options)
    beside: list[int] = []

    def select(self: Any, lanes: Tensor) -> Any:
        beside.append(1)
        return self.select(lanes)

    monkeypatch.setattr(type(memory), "select_beside", select)
    assert beam_search(model, memory, first, **options) == kept
    assert len(beside) > 3
    monkeypatch.undo()
    twice = memory.select(torch.tensor([0, 0, 1]))
    moved = model(torch.tensor([[1], [2], [3]]), twice)[1].select_beside(torch.tensor([1, 1, 2]))
    expected = model(torch.tensor([[2], [2], [3]]), twice)[1]
    assert moved.source is twice.source
    for name, leaf in expected.flatten().items():
        torch.testing.assert_close(moved.flatten()[name], leaf, rtol=0, atol=1e-12)


def test_every_lane_may_have_a_length_of_its_own() -> None:
    model = make("gru", vocab=7)
    memory, first = begun(model, lanes=3), torch.tensor([1, 5, 3])
    found = beam_search(model, memory, first, beams=2, max_new_tokens=[1, 4, 2])
    assert [[len(one.tokens) for one in lane] for lane in found] == [[1, 1], [4, 4], [2, 2]]
    alone = beam_search(model, memory.select(torch.tensor([1])), first[1:2], beams=2, max_new_tokens=4)
    assert alone[0][0].tokens == found[1][0].tokens


def test_more_beams_never_find_less_here_and_scores_are_what_they_say() -> None:
    model = make("gru", vocab=7)
    memory, first = begun(model), torch.tensor([1, 5])
    for lane, best in enumerate(beam_search(model, memory, first, beams=4, max_new_tokens=6, end=END)):
        assert len(best) == 4
        assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)
        assert len({(*one.tokens, one.ended) for one in best}) == 4
        for one in best:
            tokens = [*one.tokens, *([END] if one.ended else [])]
            expected = log_probability(model, memory.select(torch.tensor([lane])), int(first[lane]), tokens)
            assert one.log_probability == one.score == pytest.approx(expected, abs=1e-10)


class Fixed(torch.nn.Module):
    """Says the same at every step."""

    def __init__(self, model: LanguageModel[Any], scores: Tensor) -> None:
        super().__init__()
        self.model, self.config, self.scores = model, model.config, scores

    def forward(self, tokens: Tensor, memory: Any) -> tuple[Tensor, Any]:
        return self.scores.expand(*tokens.shape, -1), self.model(tokens, memory)[1]


def fixed(*probabilities: float) -> Any:
    return Fixed(make("gru"), torch.tensor(probabilities).log()).eval()


def test_a_length_penalty_favours_longer_ones() -> None:
    """To end at once has probability 0.5, after one token more 0.45 · 0.5; divided by (7/6)^6, the second is better."""
    model = fixed(0.5, 0.45, 0.03, 0.02)
    options = {"beams": 2, "max_new_tokens": 2, "end": 0}
    short, long = (
        beam_search(model, model.model.init_memory(1), torch.tensor([1]), length_penalty=alpha, **options)[0][0]
        for alpha in (0.0, 6.0)
    )
    assert (short.tokens, short.score, short.ended) == ([], pytest.approx(math.log(0.5)), True)
    assert (long.tokens, long.score, long.ended) == ([1], pytest.approx(math.log(0.45 * 0.5) / (7 / 6) ** 6), True)


def repeats(tokens: list[int], length: int) -> bool:
    parts = [tuple(tokens[at : at + length]) for at in range(len(tokens) - length + 1)]
    return len(set(parts)) < len(parts)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_with_beams_enough_it_finds_all_that_repeat_nothing(length: int) -> None:
    model = make("gru", vocab=3)
    memory, first = begun(model, lanes=1), torch.tensor([1])
    options = {"beams": 500, "max_new_tokens": 5, "end": END}
    every, found = (
        {(*one.tokens, one.ended): one.score for one in beam_search(model, memory, first, **options, no_repeat=n)[0]}
        for n in (0, length)
    )
    kept = {text: score for text, score in every.items() if not repeats(list(text[:-1]), length)}
    assert found == pytest.approx(kept)
    assert len(kept) < len(every)


def test_where_nothing_else_could_come_it_repeats() -> None:
    model = fixed(0.0, 0.7, 0.3, 0.0)
    options = {"beams": 1, "max_new_tokens": 4, "end": 0}
    found = beam_search(model, model.model.init_memory(1), torch.tensor([1]), **options, no_repeat=1)[0]
    assert found[0].tokens == [1, 2, 1, 1]
    # What came before the hypothesis does not count, and pairs are told apart from their tokens.
    found = beam_search(model, model.model.init_memory(1), torch.tensor([1]), **options, no_repeat=2)[0]
    assert found[0].tokens == [1, 1, 2, 1]


def test_what_can_never_come_is_no_hypothesis() -> None:
    model = fixed(0.5, 0.5, 0.0, 0.0)
    found = beam_search(model, model.model.init_memory(1), torch.tensor([1]), beams=9, max_new_tokens=2, end=0)[0]
    assert sorted((one.tokens, one.ended) for one in found) == [([], True), ([1], True), ([1, 1], False)]
    assert all(isinstance(one, Hypothesis) for one in found)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beams": 0}, r"beams=0 leaves nothing to search for. Give 1 or more"),
        ({"max_new_tokens": 0}, r"max_new_tokens=0 leaves nothing to search for"),
        ({"max_new_tokens": [2, 2]}, r"max_new_tokens has 2 numbers for 1 lanes. Give one for all, or one a lane"),
        ({"max_new_tokens": [0]}, r"max_new_tokens=0 leaves nothing to search for"),
        ({"length_penalty": -1.0}, r"length_penalty=-1.0 is no exponent to divide by. Give 0, or up to about 1"),
        ({"length_penalty": float("nan")}, r"length_penalty=nan is no exponent to divide by"),
        ({"no_repeat": -1}, r"no_repeat=-1 is no number of tokens\. Give 0 to let all repeat, or 3 or so"),
        ({"end": 4}, r"end=4 is outside the vocabulary of 4, so nothing would ever end"),
    ],
)
def test_settings_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    model = make("gru")
    with pytest.raises(ConfigError, match=message):
        beam_search(model, model.init_memory(1), torch.tensor([1]), **{"beams": 2, "max_new_tokens": 2, **fields})


def test_models_and_memories_that_cannot_be() -> None:
    model = make("gru")
    with pytest.raises(MemoryMismatch, match="tokens have 2 lanes, memory has 1"):
        beam_search(model, model.init_memory(1), torch.tensor([1, 1]), beams=2, max_new_tokens=2)
    with pytest.raises(ConfigError, match="the model is in training mode"):
        beam_search(model.train(), model.init_memory(1), torch.tensor([1]), beams=2, max_new_tokens=2)
    for scores in (torch.full((4,), torch.nan), torch.tensor([0.0, 0.0, 0.0, torch.inf]), torch.full((4,), -torch.inf)):
        ill: Any = Fixed(model, scores).eval()
        with pytest.raises(
            RunError, match="the model's scores hold NaN or infinity, so no continuation can be searche"
        ):
            beam_search(ill, model.init_memory(1), torch.tensor([1]), beams=2, max_new_tokens=2)
