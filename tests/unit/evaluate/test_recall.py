"""The three readings of generated sequences: a memory that forgets nothing, and what it is without itself."""

from typing import Any, ClassVar, final

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.data.synthetic import Episode, MultiQueryRecall, Sizes, TokenRules
from everlong.errors import ConfigError
from everlong.evaluate.episodes import draw_measured, evaluate_episodes
from everlong.evaluate.recall import Right, added, chance, evaluate_recall, groups, surely_across
from everlong.heads import LinearHead
from everlong.memory import Memory, memory_type
from everlong.models import create_model
from everlong.models.base import Advance, LanguageModel, ModelConfig
from everlong.shapes import IGNORE

RULES = MultiQueryRecall(length=64, pairs=4, symbols=512)
SIZES = RULES.largest
HOW: dict[str, Any] = {"sequences": 24, "lanes": 5}


@memory_type
class TableMemory(Memory):
    position: Int[Tensor, "b"]
    last: Int[Tensor, "b"]
    value: Int[Tensor, "b v"]


@final
class Table(LanguageModel[TableMemory]):
    """Keeps which token stood after each token, and answers with it: a perfect memory of pairs."""

    architecture: ClassVar[str] = "table"
    Config: ClassVar[type[ModelConfig]] = ModelConfig

    def __init__(self, vocab_size: int) -> None:
        super().__init__(ModelConfig(vocab_size=vocab_size))
        # What is said is the hidden state itself.
        same = nn.Embedding.from_pretrained(torch.eye(vocab_size))
        self.head = LinearHead(same, tied=True)

    def init_memory(self, lanes: int) -> TableMemory:
        nothing = torch.zeros(lanes, dtype=torch.int64)
        value = torch.zeros(lanes, self.config.vocab_size, dtype=torch.int64)
        return TableMemory(position=nothing, last=nothing, value=value)

    def advance(self, tokens: Tensor, memory: TableMemory, clock: Clock) -> Advance[TableMemory]:
        last, value = memory.last.clone(), memory.value.clone()
        said = torch.zeros_like(tokens)
        for lane, row in enumerate(tokens.tolist()):
            for t, token in enumerate(row[: clock.time if clock.lengths is None else int(clock.lengths[lane])]):
                said[lane, t] = value[lane, token]
                # Keys stand in the lower half and are asked for alone, so that only their values stand after them.
                if token >= self.config.vocab_size // 2:
                    value[lane, last[lane]] = token
                last[lane] = token
        after = TableMemory(position=clock.following, last=last, value=value)
        return Advance(hidden=F.one_hot(said, self.config.vocab_size).float(), memory=after, aux={})


def distances(rules: TokenRules, sizes: Sizes, count: int, chunk: int) -> list[tuple[int, int]]:
    """For each answer, how far back its value stands, and how many steps since the cut there are."""
    found: list[tuple[int, int]] = []
    for episode in draw_measured(rules, sizes, count=count):
        tokens = episode.inputs.tolist()
        for t in episode.asked.nonzero().flatten().tolist():
            found.append((t - tokens.index(int(episode.targets[t])), t % chunk))
    return found


@pytest.mark.parametrize("chunk", [16, 6, 1])
def test_a_perfect_memory_is_worth_everything_and_none_or_the_wrong_one_nothing(chunk: int) -> None:
    (found,) = evaluate_recall(Table(512), RULES, trials=[SIZES], chunk=chunk, **HOW)
    exact = distances(RULES, SIZES, HOW["sequences"], chunk)
    before = sum(distance > since for distance, since in exact)
    every, across = added(list(found.by_mark.values())), added(list(found.told.values()))
    assert every == Right(n_answers=96, carried=96, reset=96 - before, other=96 - before)
    assert 0 < across.n_answers <= before
    assert across == Right(n_answers=across.n_answers, carried=across.n_answers, reset=0, other=0)
    # All that marks can tell: a distance of the same mark may lie within the chunk.
    surely = sum(2 ** (distance - 1).bit_length() // 2 >= since for distance, since in exact)
    assert across.n_answers == surely


def test_answers_are_told_apart_by_distance() -> None:
    (found,) = evaluate_recall(Table(512), RULES, trials=[SIZES], chunk=16, **HOW)
    exact = [2 ** (distance - 1).bit_length() for distance, _ in distances(RULES, SIZES, 24, 16)]
    assert {mark: right.n_answers for mark, right in found.by_mark.items()} == {m: exact.count(m) for m in set(exact)}
    assert found.mark == "distance"
    told = found.to_dict()
    assert told["all"] == {
        "n_answers": 96,
        "carried": 1.0,
        "reset": told["all"]["reset"],
        "other": told["all"]["other"],
    }
    assert told["across"]["carried"] == 1.0
    assert told["across"]["reset"] == told["across"]["other"] == 0.0
    assert [row["distance"] for row in told["by_distance"]] == sorted(set(exact))
    near = told["by_distance"][0]
    assert near["all"]["n_answers"] > 0
    assert near["across"] == {"n_answers": 0, "carried": None, "reset": None, "other": None}


def test_cutting_a_sequence_changes_nothing_for_its_own_memory() -> None:
    torch.manual_seed(0)
    model = create_model("gru", vocab_size=512, d_model=8, n_layers=1).double()
    trials = RULES.trials()[:2]
    whole = evaluate_episodes(model, RULES, trials=trials, **HOW)
    for chunk in (9, None):
        found = evaluate_recall(model, RULES, trials=trials, chunk=chunk, **HOW)
        for one, trial in zip(found, whole, strict=True):
            right = added(list(one.by_mark.values()))
            assert (right.n_answers, right.n_answers - right.carried) == (trial.n_answers, trial.n_wrong)
    assert [one.chunk for one in found] == [16, 32]


@final
class Echo(TokenRules):
    """Sequences of any length in which the first token is asked for at the end. They are told apart by its parity."""

    name = "echo"
    mark = "parity"

    @property
    def vocab_size(self) -> int:
        return 8

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        del rng
        return {"most": 12}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        length = int(torch.randint(4, sizes["most"] + 1, (), generator=rng))
        inputs = torch.zeros(length, dtype=torch.int64)
        inputs[0] = 2
        inputs[1] = 5 + int(torch.randint(2, (), generator=rng))
        inputs[-1] = 2
        targets, marks = torch.full((length,), IGNORE), torch.zeros(length, dtype=torch.int64)
        targets[-1], marks[-1] = inputs[1], 1 + inputs[1] % 2
        return Episode(inputs=inputs, targets=targets, marks=marks)

    def trials(self) -> tuple[Sizes, ...]:
        return ({"most": 12},)


def test_sequences_of_many_lengths_are_read_to_their_ends_only() -> None:
    (found,) = evaluate_recall(Table(8), Echo(), trials=[{"most": 12}], sequences=40, lanes=4, chunk=3)
    assert set(found.by_mark) == {1, 2}
    assert found.across_by_mark is None
    assert found.told is found.by_mark
    assert found.to_dict()["across"] is None
    every = added(list(found.by_mark.values()))
    # Every sequence is longer than a chunk; another one has the same answer half of the time, and never none.
    drawn = list(draw_measured(Echo(), {"most": 12}, count=40))
    answers = [int(episode.inputs[1]) for episode in drawn]
    same = sum(answers[n] == answers[n + 1 if n % 4 < 3 else n - 3] for n in range(40))
    assert every == Right(n_answers=40, carried=40, reset=0, other=same)
    assert 0 < same < 40


def test_chance_is_that_of_the_answer_which_others_ask_for_most_often() -> None:
    def saying(*answers: int) -> Episode:
        inputs = torch.zeros(len(answers), dtype=torch.int64)
        return Episode(inputs=inputs, targets=torch.tensor(answers))

    assert chance([saying(3, IGNORE, 4), saying(3, 5)], [saying(3, 3, 4, IGNORE)]) == 0.5
    assert chance([saying(3, 3)], [saying(4, 4, 3)]) == 0.0


def test_no_sequence_is_without_a_neighbour() -> None:
    drawn: Any = list(range(9))
    assert [(done, list(part)) for done, part in groups(drawn, 4)] == [(4, [0, 1, 2, 3]), (9, [4, 5, 6, 7, 8])]
    assert [done for done, _ in groups(drawn, 20)] == [9]
    assert [list(part) for _, part in groups(drawn, 3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_marks_tell_what_is_surely_across() -> None:
    marks = torch.tensor([[8] * 6, [1, 1, 2, 2, 4, 4]])
    assert surely_across(marks, chunk=6).tolist() == [[True] * 5 + [False], [True] + [False] * 5]


def test_progress_counts_sequences() -> None:
    told: list[int] = []
    evaluate_recall(Table(512), RULES, trials=[SIZES, SIZES], sequences=5, lanes=2, report=told.append)
    assert told == [2, 5, 7, 10]


def test_what_does_not_fit_is_refused() -> None:
    for name, value in (("sequences", 1), ("lanes", 1), ("chunk", 0)):
        changed: dict[str, Any] = {**HOW, name: value}
        with pytest.raises(ConfigError, match=rf"{name}={value} is too small for the three readings"):
            evaluate_recall(Table(512), RULES, trials=[SIZES], **changed)
    with pytest.raises(
        ConfigError, match=r"task=multi-query-recall has 512 tokens; the model has vocab_size=9, input_"
    ):
        evaluate_recall(Table(9), RULES, trials=[SIZES], **HOW)
