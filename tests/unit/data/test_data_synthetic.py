"""Every rule on episodes made by hand, and what a reader of episodes promises."""

import math

import pytest
import torch
from tests.drawings import drawn
from torch import Tensor

from everlong.data.synthetic import (
    RULES,
    AssociativeRecall,
    Copy,
    DynamicNGram,
    Episode,
    EpisodeReader,
    Omniglot,
    PrioritySort,
    RepeatCopy,
    TokenRules,
    collate,
    generator,
)
from everlong.data.synthetic.ngram import beta_half
from everlong.errors import ConfigError, DataError
from everlong.shapes import IGNORE


def rng() -> torch.Generator:
    return generator(7)


def asked(episode: Episode) -> Tensor:
    """Whether each step is asked for; either all bits of it are or none."""
    places = episode.targets != IGNORE
    assert bool((places.all(dim=1) == places.any(dim=1)).all())
    return places.all(dim=1)


def test_copy_shows_vectors_and_a_flag_and_asks_for_them_in_silence() -> None:
    rules = Copy(bits=3)
    episode = rules.draw(rng(), {"length": 4})
    vectors = torch.randint(2, (4, 3), generator=rng()).float()
    shown = torch.zeros(9, 4)
    shown[:4, :3], shown[4, 3] = vectors, 1
    assert torch.equal(episode.inputs, shown)
    assert asked(episode).tolist() == [False] * 5 + [True] * 4
    assert torch.equal(episode.targets[5:], vectors)


def test_repeat_copy_asks_for_all_copies_and_their_end() -> None:
    rules = RepeatCopy(bits=2)
    episode = rules.draw(rng(), {"length": 2, "repeats": 3})
    vectors = torch.randint(2, (2, 2), generator=rng()).float()
    assert episode.inputs.shape == (3 + 7, 4)
    assert torch.equal(episode.inputs[:2], torch.cat([vectors, torch.zeros(2, 2)], dim=1))
    # Numbers from 1 to 10 have mean 5.5 and variance 99 / 12.
    assert episode.inputs[2].tolist() == pytest.approx([0, 0, 1, (3 - 5.5) / math.sqrt(99 / 12)])
    assert not episode.inputs[3:].any()
    assert asked(episode).tolist() == [False] * 3 + [True] * 7
    answer = torch.cat([vectors.repeat(3, 1), torch.zeros(6, 1)], dim=1)
    assert torch.equal(episode.targets[3:], torch.cat([answer, torch.tensor([[0.0, 0.0, 1.0]])]))
    assert RepeatCopy(min_repeats=4, max_repeats=4).normalised(4) == 0


def test_associative_recall_asks_for_what_came_after_the_item() -> None:
    rules = AssociativeRecall(bits=4, item_length=3)
    places = set[int]()
    for n in range(40):
        episode = rules.draw(generator(n), {"items": 3})
        assert episode.inputs.shape == (3 * 4 + 5 + 3, 6)
        items = episode.inputs[:12].view(3, 4, 6)
        assert torch.equal(items[:, 0], torch.tensor([[0.0, 0, 0, 0, 1, 0]]).expand(3, -1))
        assert not items[:, 1:, 4:].any()
        flags = torch.tensor([0.0, 0, 0, 0, 0, 1])
        assert torch.equal(episode.inputs[12], flags)
        assert torch.equal(episode.inputs[16], flags)
        assert not episode.inputs[17:].any()
        assert asked(episode).tolist() == [False] * 17 + [True] * 3
        question, answer = episode.inputs[13:16], episode.targets[17:]
        same = [
            k for k in range(2) if torch.equal(items[k, 1:], question) and torch.equal(items[k + 1, 1:, :4], answer)
        ]
        assert same
        places |= set(same)
    assert places == {0, 1}


def test_priority_sort_asks_for_the_highest_first() -> None:
    rules = PrioritySort(items=5, answers=3, bits=4)
    episode = rules.draw(rng(), rules.draw_sizes(rng()))
    assert episode.inputs.shape == (6 + 3, 6)
    assert asked(episode).tolist() == [False] * 6 + [True] * 3
    vectors, priorities = episode.inputs[:5, :4], episode.inputs[:5, 4]
    assert episode.inputs[5].tolist() == [0, 0, 0, 0, 0, 1]
    order = sorted(range(5), key=lambda n: -float(priorities[n]))[:3]
    assert torch.equal(episode.targets[6:], vectors[order])
    many = PrioritySort(items=4000, answers=1).draw(rng(), {"items": 4000, "answers": 1}).inputs[:-2, 8]
    assert (float(many.min()), float(many.max())) == pytest.approx((-1, 1), abs=0.01)
    assert abs(float(many.mean())) < 0.05


def test_a_dynamic_n_gram_shows_each_bit_a_step_late() -> None:
    rules = DynamicNGram(order=3, length=50)
    episode = rules.draw(rng(), rules.draw_sizes(rng()))
    assert episode.inputs.shape == episode.targets.shape == (50, 1)
    assert episode.inputs[0] == 0
    assert torch.equal(episode.inputs[1:], episode.targets[:-1])
    assert asked(episode).all()


def test_bits_of_a_dynamic_n_gram_follow_its_table() -> None:
    rules = DynamicNGram(order=2, length=4000)
    episode = rules.draw(rng(), {"length": 4000})
    table = beta_half_after_the_first_bits(1)
    said = episode.targets[:, 0]
    for context in (0, 1):
        after = said[1:][said[:-1] == context]
        assert float(after.mean()) == pytest.approx(table[context], abs=0.06)
    assert [rules.context([0, 1]), rules.context([1, 0])] == [1, 0]
    assert DynamicNGram(order=4).context([1, 1, 0, 1]) == 0b101


def beta_half_after_the_first_bits(before: int) -> list[float]:
    return beta_half(rng(), 2**before).tolist()


def test_chances_are_of_beta_one_half() -> None:
    drawn = beta_half(rng(), 20_000)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(drawn.var()) == pytest.approx(1 / 8, abs=0.005)


def test_the_best_estimator_counts() -> None:
    said = torch.tensor([0, 0, 0, 1, 0, 1], dtype=torch.float32)[:, None]
    rules = DynamicNGram(order=2, length=6)
    # After 0: a zero, a zero, a one, a one; after 1: a zero.
    chances = [0.5, 0.5, 1.5 / 2, 0.5 / 3, 0.5, 1.5 / 4]
    found = rules.least_bits(Episode(inputs=said, targets=said))
    assert found == pytest.approx(-sum(math.log2(chance) for chance in chances))
    assert Copy().least_bits(Episode(inputs=said, targets=said)) is None


@pytest.mark.parametrize("name", [name for name, rules in RULES.items() if not issubclass(rules, TokenRules)])
def test_a_task_is_what_it_says(name: str) -> None:
    rules = RULES[name]()
    if isinstance(rules, Omniglot):
        rules = rules.with_pictures(drawn(6, 12), drawn(6, 12))
    assert rules.name == name
    for n, sizes in enumerate([*(rules.draw_sizes(generator(n)) for n in range(5)), *rules.trials()]):
        episode = rules.draw(generator(n), sizes)
        assert episode.inputs.shape[1] == rules.input_size
        choices = max(1, rules.choices)
        assert episode.targets.shape == (len(episode.inputs), rules.output_size // choices)
        assert rules.output_size % choices == 0
        given = episode.targets[asked(episode)]
        assert set(given.unique().tolist()) <= set(range(rules.choices or 2))
        assert (episode.marks is None) == (rules.mark == "")
        again = rules.draw(generator(n), sizes)
        assert torch.equal(again.inputs, episode.inputs)
    assert rules.unit == ("answers" if rules.choices else "bits")
    assert (rules.measured() is rules) == (rules.sources() == {})


@pytest.mark.parametrize("name", [name for name, rules in RULES.items() if issubclass(rules, TokenRules)])
def test_a_task_of_tokens_is_what_it_says(name: str) -> None:
    rules = RULES[name]()
    assert isinstance(rules, TokenRules)
    assert rules.name == name
    for n, sizes in enumerate([*(rules.draw_sizes(generator(n)) for n in range(5)), *rules.trials()]):
        episode = rules.draw(generator(n), sizes)
        assert episode.inputs.dtype == episode.targets.dtype == torch.int64
        assert episode.targets.shape == episode.inputs.shape
        assert 0 <= int(episode.inputs.min()) <= int(episode.inputs.max()) < rules.vocab_size
        given = episode.targets[episode.asked]
        assert len(given) > 0
        assert 0 <= int(given.min()) <= int(given.max()) < rules.vocab_size
        assert episode.marks is not None
        assert torch.equal(episode.marks > 0, episode.asked)
        assert torch.equal(rules.draw(generator(n), sizes).inputs, episode.inputs)


@pytest.mark.parametrize(("rules", "sizes"), [(Copy(), {"length": 5}), (RepeatCopy(), {"length": 3, "repeats": 4})])
def test_copies_say_when_an_answer_was_shown(rules: Copy | RepeatCopy, sizes: dict[str, int]) -> None:
    episode = rules.draw(rng(), sizes)
    shown_at = rules.shown_at(episode)
    # All answers but the bit that ends the copies.
    assert list(shown_at) == episode.asked.nonzero()[:, 0].tolist()[: 5 if rules.name == "copy" else 12]
    for answered, shown in shown_at.items():
        assert torch.equal(episode.targets[answered, : rules.bits], episode.inputs[shown, : rules.bits])
    assert sorted(set(shown_at.values())) == list(range(sizes["length"]))


def test_other_tasks_show_no_answers() -> None:
    rules = PrioritySort()
    assert rules.shown_at(rules.draw(rng(), rules.largest)) == {}


def test_the_largest_sizes_of_training() -> None:
    assert Copy(max_length=7).largest == {"length": 7}
    assert RepeatCopy(max_length=3, max_repeats=2).largest == {"length": 3, "repeats": 2}
    assert AssociativeRecall(max_items=4).largest == {"items": 4}
    assert PrioritySort(items=5, answers=3).largest == {"items": 5, "answers": 3}
    assert Omniglot(instances=4).largest == {"instances": 4}


def test_published_sizes() -> None:
    assert (Copy().input_size, Copy().output_size) == (9, 8)
    lengths = {Copy().draw_sizes(generator(n))["length"] for n in range(400)}
    assert lengths == set(range(1, 21))
    assert [sizes["length"] for sizes in Copy().trials()] == [10, 20, 40, 60, 80, 100, 120]
    repeats = [RepeatCopy().draw_sizes(generator(n)) for n in range(300)]
    assert {sizes["length"] for sizes in repeats} == {sizes["repeats"] for sizes in repeats} == set(range(1, 11))
    assert {AssociativeRecall().draw_sizes(generator(n))["items"] for n in range(100)} == set(range(2, 7))
    assert AssociativeRecall().trials()[-1] == {"items": 15}
    assert PrioritySort().draw_sizes(rng()) == {"items": 20, "answers": 16}
    assert DynamicNGram().draw_sizes(rng()) == {"length": 200}


@pytest.mark.parametrize(
    ("rules", "fields", "message"),
    [
        (Copy, {"min_length": 30}, "min_length=30 is more than max_length=20; give them the other way round"),
        (RepeatCopy, {"max_repeats": 3, "min_repeats": 4}, "min_repeats=4 is more than max_repeats=3"),
        (AssociativeRecall, {"min_items": 7}, "min_items=7 is more than max_items=6"),
        (PrioritySort, {"items": 9}, "answers=16 vectors cannot be asked for where items=9 are shown"),
        (DynamicNGram, {"order": 0}, "order = 0 does not fit"),
    ],
)
def test_sizes_that_do_not_fit(rules: type[Copy], fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rules(**fields)


def test_episodes_side_by_side_are_padded_and_are_documents() -> None:
    rules = Copy(bits=2)
    one, two = (rules.draw(generator(n), {"length": length}) for n, length in ((0, 1), (1, 3)))
    chunk = collate([one, two])
    assert chunk.lengths.tolist() == [3, 7]
    assert torch.equal(chunk.tokens[0, :3], one.inputs)
    assert not chunk.tokens[0, 3:].any()
    assert bool((chunk.targets[0, 3:] == IGNORE).all())
    assert torch.equal(chunk.targets[1], two.targets)
    assert chunk.starts.nonzero().tolist() == [[0, 0], [1, 0]]


def test_episodes_follow_from_the_seed_and_their_number() -> None:
    rules = Copy(max_length=3)
    reader = EpisodeReader(rules, seed=1, lanes=4)
    first, second = next(reader), next(reader)
    assert reader.cursor() == {"batch": 2}
    assert torch.equal(next(EpisodeReader(rules, seed=1, lanes=4).seek({"batch": 1})).tokens, second.tokens)
    assert first.tokens.shape != second.tokens.shape or not torch.equal(first.tokens, second.tokens)
    assert not torch.equal(next(EpisodeReader(rules, seed=2, lanes=4)).tokens.sum(), first.tokens.sum())
    ranks = [next(EpisodeReader(rules, seed=1, lanes=4, rank=rank, world=2)) for rank in range(2)]
    assert torch.cat([chunk.lengths for chunk in ranks]).tolist() == first.lengths.tolist()
    lengths = first.lengths.tolist()
    for lane, length in enumerate(lengths):
        assert torch.equal(ranks[lane // 2].tokens[lane % 2, :length], first.tokens[lane, :length])


@pytest.mark.parametrize("cursor", [{}, {"batch": -1}, {"batch": "1"}])
def test_what_is_no_cursor_of_batches_is_refused(cursor: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"the cursor's batch .* is not a number of batches"):
        EpisodeReader(Copy(), seed=0, lanes=1).seek(cursor)


def test_lanes_must_be_shared_evenly() -> None:
    with pytest.raises(ConfigError, match="lanes=3 cannot be shared evenly by world=2 ranks"):
        EpisodeReader(Copy(), seed=0, lanes=3, world=2)
