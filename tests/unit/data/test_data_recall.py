"""The rules of the recall tasks, checked token by token, and how their sequences are chosen."""

from collections import Counter
from typing import Any

import pytest
import torch

from everlong.data.synthetic import (
    Episode,
    InductionHeads,
    MultiQueryOverwrite,
    MultiQueryRecall,
    Rules,
    SelectiveCopy,
    generator,
)
from everlong.data.synthetic.rules import distinct
from everlong.errors import ConfigError
from everlong.shapes import IGNORE

DRAWN = 60


def drawn(rules: Rules, *, count: int = DRAWN) -> list[Episode]:
    return [rules.draw(generator(n), rules.draw_sizes(generator(n))) for n in range(count)]


def looked_up(tokens: list[int], *, shown: int) -> dict[int, tuple[int, int]]:
    """The value that stood beside each key last, and where."""
    return {tokens[at]: (tokens[at + 1], at + 1) for at in range(0, shown, 2)}


def power_of_two(distance: int) -> int:
    """The smallest one that is no less."""
    return next(2**n for n in range(40) if 2**n >= distance)


def check_questions(episode: Episode, *, shown: int, symbols: int) -> list[int]:
    """Every key is asked for once, in a place of its own, and is worth what stood beside it; these places."""
    tokens, targets = episode.inputs.tolist(), episode.targets.tolist()
    values = looked_up(tokens, shown=shown)
    places = [at for at, target in enumerate(targets) if target != IGNORE]
    assert sorted(tokens[at] for at in places) == sorted(values)
    assert all(1 <= key < symbols // 2 <= value < symbols for key, (value, _) in values.items())
    assert episode.marks is not None
    for at in places:
        assert at >= shown
        assert (at - shown) % 2 == 0
        value, said = values[tokens[at]]
        assert targets[at] == value
        assert episode.marks[at] == power_of_two(at - said)
    return places


@pytest.mark.parametrize("symbols", [40, 41])
def test_recall_asks_for_the_value_beside_each_key(symbols: int) -> None:
    for episode in drawn(MultiQueryRecall(length=32, pairs=5, symbols=symbols)):
        tokens = episode.inputs.tolist()
        assert len(tokens) == 32
        assert len(set(tokens[0:10:2])) == len(set(tokens[1:10:2])) == 5
        places = check_questions(episode, shown=10, symbols=symbols)
        assert not any(token for at, token in enumerate(tokens) if at >= 10 and at not in places)


def test_gaps_are_short_more_often_and_fit() -> None:
    """The first key's gap x of 1 to 12 has a chance proportional to x to the power of -0.99."""
    rules, firsts = MultiQueryRecall(length=32, pairs=4, symbols=64), Counter[int]()
    for n in range(4000):
        episode = rules.draw(generator(n), {"length": 32, "pairs": 4})
        (first,) = (at for at in range(8, 32) if episode.inputs[at] == episode.inputs[0])
        firsts[(first - 8) // 2 + 1] += 1
    whole = sum(x**-0.99 for x in range(1, 13))
    assert set(firsts) == set(range(1, 13))
    for gap, count in firsts.items():
        assert count / 4000 == pytest.approx(gap**-0.99 / whole, abs=0.03)


def test_a_full_sequence_asks_at_every_second_token() -> None:
    (episode,) = drawn(MultiQueryRecall(length=16, pairs=4, symbols=10), count=1)
    assert (episode.targets != IGNORE).tolist() == [False] * 8 + [True, False] * 4


def test_random_tokens_stand_between_the_questions_and_change_nothing_else() -> None:
    plain = MultiQueryRecall(length=64, pairs=4, symbols=20)
    seen = Counter[int]()
    for n in range(200):
        sizes = plain.draw_sizes(generator(n))
        filled, empty = (rules.draw(generator(n), sizes) for rules in (plain.replace(fill="random"), plain))
        check_questions(filled, shown=8, symbols=20)
        assert torch.equal(filled.targets, empty.targets)
        told = empty.inputs > 0
        assert torch.equal(filled.inputs[told], empty.inputs[told])
        seen.update(filled.inputs[~told].tolist())
    # Every token of the vocabulary, 0 among them, as often as any other: as published.
    assert set(seen) == set(range(20))
    assert max(seen.values()) / min(seen.values()) < 1.25


def test_sizes_of_training_may_be_mixed() -> None:
    rules = MultiQueryRecall(sizes=((64, 4), (128, 8), (256, 16), (256, 64)))
    assert rules == MultiQueryRecall.parse({"sizes": [[64, 4], [128, 8], [256, 16], [256, 64]]})
    counts = Counter(tuple(rules.draw_sizes(generator(n)).values()) for n in range(800))
    assert set(counts) == set(rules.sizes)
    assert all(150 < count < 250 for count in counts.values())
    assert rules.largest == {"length": 256, "pairs": 64}
    assert [tuple(sizes.values()) for sizes in rules.trials()] == [*rules.sizes, (512, 128), (1024, 256)]
    assert [tuple(sizes.values()) for sizes in MultiQueryRecall().trials()] == [(64, 4), (128, 8), (256, 16)]
    twice = MultiQueryRecall(sizes=((64, 4), (64, 4), (128, 8)))
    shorter = [twice.draw_sizes(generator(n))["length"] == 64 for n in range(600)]
    assert sum(shorter) / 600 == pytest.approx(2 / 3, abs=0.06)
    assert [sizes["length"] for sizes in twice.trials()] == [64, 128, 256, 512]
    assert MultiQueryRecall(symbols=14).trials()[-1] == {"length": 256, "pairs": 6}


def test_overwriting_asks_for_the_last_value() -> None:
    changed = Counter[int]()
    for episode in drawn(MultiQueryOverwrite(length=40, pairs=5, updates=3, symbols=24), count=200):
        tokens = episode.inputs.tolist()
        keys, again = tokens[0:10:2], tokens[10:16:2]
        assert len(set(keys)) == 5
        assert len(set(again)) == 3
        assert set(again) < set(keys)
        # All values differ, so that no old value is right.
        assert len(set(tokens[1:16:2])) == 8
        check_questions(episode, shown=16, symbols=24)
        changed.update(keys.index(key) for key in again)
    assert set(changed) == set(range(5))
    assert min(changed.values()) > 90


def test_overwriting_grows_as_long_as_values_last() -> None:
    assert MultiQueryOverwrite().trials()[-1] == {"length": 256, "pairs": 16, "updates": 8}
    few = MultiQueryOverwrite(symbols=26).trials()
    assert [sizes["pairs"] for sizes in few] == [4, 8]
    for sizes in few:
        check_questions(MultiQueryOverwrite(symbols=26).draw(generator(1), sizes), shown=3 * sizes["pairs"], symbols=26)


@pytest.mark.parametrize("scattered", [True, False])
def test_selective_copying_asks_for_what_stood_in_the_noise(scattered: bool) -> None:
    rules, places, said = SelectiveCopy(noise=12, items=3, symbols=6, scattered=scattered), Counter[int](), set[int]()
    for episode in drawn(rules, count=300):
        tokens = episode.inputs.tolist()
        assert tokens[15:] == [5] * 3
        at = [place for place, token in enumerate(tokens[:15]) if token]
        assert len(at) == 3
        assert episode.targets.tolist() == [IGNORE] * 15 + [tokens[place] for place in at]
        assert episode.marks is not None
        assert episode.marks.tolist() == [0] * 15 + [power_of_two(15 + n - place) for n, place in enumerate(at)]
        places.update(at)
        said |= {tokens[place] for place in at}
    assert said == {1, 2, 3, 4}
    assert set(places) == set(range(15 if scattered else 3))
    assert min(places.values()) > 30


def test_selective_copying_is_measured_in_more_noise() -> None:
    assert SelectiveCopy(noise=5, items=2).trials()[1:] == ({"noise": 10, "items": 2}, {"noise": 20, "items": 2})


def test_induction_asks_for_what_came_after_the_special_token() -> None:
    rules, places, said = InductionHeads(length=12, symbols=5), Counter[int](), set[int]()
    for episode in drawn(rules, count=400):
        tokens = episode.inputs.tolist()
        first, last = (at for at, token in enumerate(tokens) if token == 4)
        assert last == 11
        assert first < 10
        assert episode.targets.tolist() == [IGNORE] * 11 + [tokens[first + 1]]
        assert episode.marks is not None
        assert episode.marks.tolist() == [0] * 11 + [power_of_two(11 - (first + 1))]
        places[first] += 1
        said.add(tokens[first + 1])
    assert set(places) == set(range(10))
    assert min(places.values()) > 20
    assert said == {0, 1, 2, 3}


def test_induction_is_measured_at_lengths_that_double() -> None:
    lengths = [sizes["length"] for sizes in InductionHeads().trials()]
    assert lengths == [64, 128, 256, 512, 1024, 2048, 4096]
    assert InductionHeads(length=100).largest == {"length": 100}


@pytest.mark.parametrize(("count", "below"), [(3, 40), (3, 4), (4, 4)])
def test_distinct_numbers_are_every_choice_alike(count: int, below: int) -> None:
    pairs = Counter[tuple[int, ...]]()
    for n in range(4000):
        numbers = distinct(generator(n), count, below=below).tolist()
        assert len(set(numbers)) == count
        assert set(numbers) <= set(range(below))
        pairs[tuple(number * 4 // below for number in numbers[:2])] += 1
    # Quarters of the first two numbers: independent but for what the first one takes away.
    quarter = below / 4
    same, other = (x / (4 * (below - 1)) for x in (quarter - 1, quarter))
    for one in range(4):
        for two in range(4):
            assert pairs[one, two] / 4000 == pytest.approx(same if one == two else other, abs=0.02)


def test_the_smallest_sizes_fit() -> None:
    drawn(MultiQueryRecall(length=16, pairs=4, symbols=10), count=1)
    drawn(MultiQueryOverwrite(length=20, pairs=4, symbols=14), count=1)
    drawn(SelectiveCopy(noise=0, items=1, symbols=3), count=1)
    drawn(InductionHeads(length=12, symbols=3), count=1)


@pytest.mark.parametrize(
    ("rules", "fields", "message"),
    [
        (MultiQueryRecall, {"length": 64, "pairs": 17}, "pairs=17 need a length of 68 or more, not 64"),
        (MultiQueryRecall, {"pairs": 4, "symbols": 9}, "symbols=9 are too few for pairs=4: 10 do"),
        (MultiQueryRecall, {"sizes": [[64, 4], [16, 5]]}, "pairs=5 need a length of 20 or more, not 16"),
        (MultiQueryRecall, {"sizes": [[64, 0]]}, "0 pairs ask for nothing; give 1 or more with length=64"),
        (MultiQueryRecall, {"sizes": [[64]]}, "sizes.0.1"),
        (MultiQueryRecall, {"fill": "zeros"}, "fill = 'zeros' does not fit"),
        (MultiQueryOverwrite, {"updates": 5}, "updates=5 are more than pairs=4; give as many or fewer"),
        (MultiQueryOverwrite, {"updates": 0}, "updates = 0 does not fit"),
        (MultiQueryOverwrite, {"length": 18}, "pairs=4 need a length of 20 or more, not 18"),
        (MultiQueryOverwrite, {"symbols": 13}, "symbols=13 are too few for pairs=4 and updates=2: 14 do"),
        (SelectiveCopy, {"symbols": 2}, "symbols = 2 does not fit"),
        (SelectiveCopy, {"items": 0}, "items = 0 does not fit"),
        (SelectiveCopy, {"noise": -1}, "noise = -1 does not fit"),
        (InductionHeads, {"length": 11}, "length = 11 does not fit"),
        (InductionHeads, {"symbols": 2}, "symbols = 2 does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(rules: type[Rules], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rules(**fields)
