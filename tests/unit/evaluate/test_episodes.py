"""Answers that are asked for: what they cost, how many are wrong, and at which mark."""

import itertools
import math
from collections import Counter
from typing import Any

import pytest
import torch

from everlong.data import Chunk
from everlong.data.synthetic import (
    Copy,
    DynamicNGram,
    GraphTraversal,
    MultiQueryRecall,
    Omniglot,
    SelectiveCopy,
    ShortestPath,
    collate,
)
from everlong.errors import ConfigError
from everlong.evaluate.episodes import (
    answer_losses,
    answers,
    are_wrong,
    count_by,
    draw_measured,
    evaluate_episodes,
)
from everlong.models import create_model
from everlong.shapes import IGNORE
from tests.drawings import drawn

RULES = Copy(max_length=3, bits=2)
SIZES: dict[str, Any] = {"d_model": 8, "n_layers": 1, "memory_slots": 5, "slot_size": 3}


def tiny(name: str = "ntm") -> Any:
    torch.manual_seed(0)
    sizes = SIZES if name != "lstm" else {"d_model": 8}
    return create_model(name, input_size=3, output_size=2, **sizes).double()


def test_bits_cost_the_logarithm_of_their_chance() -> None:
    logits = torch.tensor([[[2.0, -1.0], [0.5, 3.0]]], dtype=torch.float64)
    targets = torch.tensor([[[1.0, 1.0], [IGNORE, 0.0]]])
    chances = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1)), 1 - 1 / (1 + math.exp(-3))]
    losses = answer_losses(logits, targets)
    assert losses[0, 1, 0] == 0
    assert float(losses.sum()) == pytest.approx(-sum(math.log(chance) for chance in chances))
    assert are_wrong(logits, targets).tolist() == [[[False, True], [False, True]]]


def test_a_choice_costs_the_logarithm_of_its_chance_among_its_own() -> None:
    logits = torch.tensor([[[2.0, -1.0, 0.5, 0.0, 0.0, 3.0], [0.0, 1.0, 2.0, 4.0, 1.0, 1.0]]], dtype=torch.float64)
    targets = torch.tensor([[[0.0, 1.0], [IGNORE, 0.0]]])
    losses = answer_losses(logits, targets)
    chances = [
        [math.exp(2) / (math.exp(2) + math.exp(-1) + math.exp(0.5)), 1 / (2 + math.exp(3))],
        [1.0, math.exp(4) / (math.exp(4) + 2 * math.exp(1))],
    ]
    expected = torch.tensor([[[-math.log(chance) for chance in step] for step in chances]], dtype=torch.float64)
    torch.testing.assert_close(losses, expected)
    assert are_wrong(logits, targets).tolist() == [[[False, True], [False, False]]]


def test_losses_are_taken_in_float32_and_pass_gradients_where_something_is_asked() -> None:
    logits = torch.randn(2, 3, 10, requires_grad=True)
    targets = torch.tensor([[[1.0, 4.0], [IGNORE, 0.0], [IGNORE, IGNORE]]]).expand(2, 3, 2)
    assert answer_losses(logits.bfloat16(), targets).dtype == torch.float32
    answer_losses(logits, targets).sum().backward()
    assert logits.grad is not None
    moved = logits.grad.unflatten(-1, (2, 5)).abs().sum(dim=-1) > 0
    assert torch.equal(moved, targets != IGNORE)


def test_answers_are_counted_by_mark() -> None:
    marks = torch.tensor([[0, 1, 2], [2, 2, 0]])
    said = torch.tensor([[[1, 1], [0, 1], [0, 0]], [[1, 1], [1, 0], [0, 0]]]).bool()
    assert count_by(marks, said) == {0: 2, 1: 1, 2: 3}


def test_a_trial_tells_answers_apart_by_their_marks() -> None:
    rules = GraphTraversal(min_nodes=4, max_nodes=4, max_steps=2)
    right = itertools.count()

    def answer(_: Any, chunk: Chunk) -> torch.Tensor:
        """The right digits, but for the hundreds, of which every second step's are one too high."""
        logits = torch.zeros(*chunk.targets.shape, 10)
        logits.scatter_(-1, chunk.targets.clamp(min=0).long()[..., None], 5.0)
        for lane, step in (chunk.targets[..., 0] != IGNORE).nonzero().tolist():
            if next(right) % 2:
                logits[lane, step, 0] = logits[lane, step, 0].roll(1)
        return logits.flatten(2)

    model = create_model("ntm", input_size=92, output_size=30, **SIZES)
    trials = ({"nodes": 4, "steps": 2},)
    (found,) = evaluate_episodes(model, rules, trials=trials, sequences=6, lanes=4, answer=answer)
    assert (found.unit, found.mark, found.n_answers, found.n_wrong) == ("answers", "step", 6 * 2 * 3, 6)
    assert found.by_mark == {1: (18, 0), 2: (18, 6)}
    told = found.to_dict()
    assert (told["wrong_answers"], told["n_answers"]) == (1 / 6, 36)
    assert told["by_step"] == [
        {"step": 1, "accuracy": 1.0, "n_answers": 18},
        {"step": 2, "accuracy": 2 / 3, "n_answers": 18},
    ]
    assert "wrong_bits" not in told
    certain = -math.log(math.exp(5) / (math.exp(5) + 9))
    assert found.nats == pytest.approx(30 * certain + 6 * (certain + 5), rel=1e-4)


def test_what_is_measured_is_held_out() -> None:
    rules = Omniglot(classes=2, instances=2).with_pictures(drawn(3, 2, seed=1), drawn(3, 2, seed=2))
    seen: list[torch.Tensor] = []

    def answer(_: Any, chunk: Chunk) -> torch.Tensor:
        seen.append(chunk.tokens[..., :400])
        return torch.zeros(*chunk.tokens.shape[:2], 2)

    model = create_model("ntm", input_size=402, output_size=2, **SIZES)
    (found,) = evaluate_episodes(model, rules, trials=(None,), sequences=3, lanes=3, answer=answer)
    assert found.bits_per_sequence == pytest.approx(4)
    ink = seen[0].view(-1, 20, 20)
    held_out = [drawing.float().rot90(turn) / 255 for drawing in rules.pictures[1].drawings for turn in range(4)]
    assert all(any(torch.equal(shown, drawing) for drawing in held_out) for shown in ink)


@pytest.mark.parametrize("name", ["ntm", "dnc", "mann", "lstm"])
def test_a_trial_is_its_sequences_one_by_one(name: str) -> None:
    model = tiny(name)
    drawn = list(draw_measured(RULES, {"length": 5}, count=4))
    nats, wrong = 0.0, 0
    with torch.no_grad():
        for episode in drawn:
            chunk = collate([episode])
            logits, _ = model(chunk.tokens.double(), starts=chunk.starts, lengths=chunk.lengths)
            nats += float(answer_losses(logits, chunk.targets).sum())
            wrong += int(are_wrong(logits, chunk.targets).sum())
    (found,) = evaluate_episodes(
        model,
        RULES,
        trials=[{"length": 5}],
        sequences=4,
        lanes=3,
        answer=lambda _, chunk: model(chunk.tokens.double())[0],
    )
    assert found.bits_per_sequence == pytest.approx(nats / math.log(2) / 4)
    assert (found.n_answers, found.n_wrong, found.wrong) == (4 * 5 * 2, wrong, wrong / 40)
    assert found.label == "length 5"
    assert (found.unit, found.by_mark) == ("bits", {})
    assert set(found.to_dict()) == {"sizes", "bits_per_sequence", "wrong_bits", "n_sequences", "n_bits"}


@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_a_trial_of_tokens_is_its_sequences_one_by_one(name: str) -> None:
    rules = MultiQueryRecall(symbols=12, sizes=((16, 2), (40, 5)))
    torch.manual_seed(0)
    model = create_model(name, vocab_size=12, d_model=8, n_layers=1).double()
    nats, right, asked = 0.0, Counter[int](), Counter[int]()
    for episode in draw_measured(rules, None, count=7):
        with torch.no_grad():
            logits, _ = model(episode.inputs[None])
        chances = logits[0].log_softmax(dim=-1)
        assert episode.marks is not None
        for at in episode.asked.nonzero()[:, 0].tolist():
            answer, mark = int(episode.targets[at]), int(episode.marks[at])
            nats -= float(chances[at, answer])
            asked[mark] += 1
            right[mark] += int(chances[at].argmax()) == answer
    (found,) = evaluate_episodes(model, rules, trials=(None,), sequences=7, lanes=3)
    assert found.nats == pytest.approx(nats)
    assert (found.unit, found.mark, found.n_answers) == ("answers", "distance", asked.total())
    assert {mark: tally.n_answers for mark, tally in found.by_mark.items()} == asked
    assert {mark: round(tally.accuracy * asked[mark]) for mark, tally in found.by_mark.items()} == {
        mark: right[mark] for mark in asked
    }
    assert len({found.to_dict()["n_answers"], 7 * 2, 7 * 5}) == 3


def test_a_vocabulary_has_logits_only_where_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = SelectiveCopy(noise=30, items=2)
    model = create_model("gru", vocab_size=16, d_model=8, n_layers=1)
    rows: list[int] = []

    whole = model.head.logits

    def counted(hidden: torch.Tensor) -> torch.Tensor:
        rows.append(hidden.shape[:-1].numel())
        return whole(hidden)

    monkeypatch.setattr(model.head, "logits", counted)
    evaluate_episodes(model, rules, trials=(None,), sequences=5, lanes=3)
    assert rows == [3 * 2, 2 * 2]


def test_padding_that_is_read_changes_nothing() -> None:
    model = tiny()
    chunk = collate(list(draw_measured(RULES, None, count=6)))
    assert len(set(chunk.lengths.tolist())) > 1
    told, _ = model(chunk.tokens.double(), starts=chunk.starts, lengths=chunk.lengths)
    asked = chunk.targets != IGNORE
    read = model(chunk.tokens.double())[0]
    torch.testing.assert_close(read[asked], told[asked], rtol=1e-12, atol=1e-12)
    assert answers(model.float(), chunk).shape == chunk.targets.shape


def test_a_model_that_knows_nothing_pays_a_bit_for_each_and_the_best_less() -> None:
    rules, model = DynamicNGram(order=3, length=40), create_model("ntm", input_size=1, output_size=1, **SIZES)
    seen: list[int] = []
    usual, longer = evaluate_episodes(
        model,
        rules,
        trials=(None, {"length": 80}),
        sequences=5,
        lanes=2,
        report=seen.append,
        answer=lambda _, chunk: torch.zeros_like(chunk.targets),
    )
    assert (usual.label, usual.bits_per_sequence, longer.bits_per_sequence) == (
        "as trained",
        pytest.approx(40),
        pytest.approx(80),
    )
    assert seen == [2, 4, 5, 7, 9, 10]
    assert usual.least_bits is not None
    assert 5 * 2 < usual.least_bits < 5 * 48
    assert usual.to_dict()["least_bits_per_sequence"] == usual.least_bits / 5


def test_what_does_not_fit_is_refused() -> None:
    model = tiny().float()
    with pytest.raises(ConfigError, match="sequences=0 is too small"):
        evaluate_episodes(model, RULES, trials=(None,), sequences=0, lanes=1)
    message = r"task=copy shows vectors of 9 numbers and asks for 8 bits; the model has input_size=3 and output_size=2"
    with pytest.raises(ConfigError, match=message):
        evaluate_episodes(model, Copy(), trials=(None,), sequences=1, lanes=1)
    reader = create_model("gru", vocab_size=16, d_model=8)
    message = r"task=multi-query-recall has 8192 tokens; the model has vocab_size=16, input_size=0 and output_size=0"
    with pytest.raises(ConfigError, match=message):
        evaluate_episodes(reader, MultiQueryRecall(), trials=(None,), sequences=1, lanes=1)
    with pytest.raises(ConfigError, match=r"task=selective-copy has 16 tokens; the model has vocab_size=256"):
        evaluate_episodes(model, SelectiveCopy(), trials=(None,), sequences=1, lanes=1)
    with pytest.raises(ConfigError, match=r"task=shortest-path shows vectors of 92 numbers and asks for 90 logits"):
        evaluate_episodes(model, ShortestPath(), trials=(None,), sequences=1, lanes=1)
