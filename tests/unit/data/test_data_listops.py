"""ListOps: values by hand and by a slow twin, lengths, and what does not fit."""

import math
import random
from collections import Counter

import pytest
from tests.reference.listops import value_of

from everlong.data.synthetic import ListOps, generator, listops
from everlong.data.synthetic.listops import OPERATIONS, SYMBOLS
from everlong.errors import ConfigError
from everlong.shapes import IGNORE


@pytest.mark.parametrize(
    ("text", "value", "nesting"),
    [
        ("[MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ]", 5, 2),  # the example of the Long Range Arena
        ("[MED 1 2 ]", 1, 1),
        ("[MED 4 9 0 7 ]", 5, 1),
        ("[SM 9 8 [SM 7 6 ] ]", 0, 2),
        ("[MIN [MAX 3 [SM 5 5 ] ] 9 ]", 3, 3),
        ("7", 7, 0),
    ],
)
def test_the_slow_twin_by_hand(text: str, value: int, nesting: int) -> None:
    assert value_of(text) == (value, nesting)


@pytest.mark.parametrize(
    ("operation", "values", "value"),
    [
        ("[MIN", [4, 2, 9], 2),
        ("[MAX", [4, 2, 9], 9),
        ("[MED", [4, 9, 0, 7], 5),
        ("[MED", [3, 1, 8], 3),
        ("[SM", [9, 8], 7),
    ],
)
def test_operations_by_hand(operation: str, values: list[int], value: int) -> None:
    assert OPERATIONS[operation](values) == value


@pytest.mark.parametrize("fields", [{}, {"length": 400}, {"length": 24, "max_depth": 4, "max_args": 5}])
def test_a_tree_is_asked_for_its_value(fields: dict[str, int]) -> None:
    rules = ListOps(**fields)
    seen = Counter[str]()
    for n in range(60):
        for sizes in rules.trials():
            episode = rules.draw(generator(n), sizes)
            words = [SYMBOLS[token] for token in episode.inputs.tolist()]
            assert words[-1] == "="
            assert math.floor(sizes["length"] / 4) < len(words) - 1 < sizes["length"]
            value, nesting = value_of(" ".join(words[:-1]))
            assert episode.targets.tolist() == [IGNORE] * (len(words) - 1) + [value]
            assert episode.marks is not None
            assert episode.marks.tolist() == [0] * (len(words) - 1) + [nesting]
            assert nesting < rules.max_depth
            seen.update(words)
    assert set(seen) == set(SYMBOLS)


def test_published_chances() -> None:
    rng, rules = random.Random(0), ListOps(length=8, max_depth=3)
    trees: list[list[int]] = [[] for _ in range(8000)]
    for tree in trees:
        rules.grow(rng, tree, depth=1, room=1000)
    digits = sum(len(tree) == 1 for tree in trees) / len(trees)
    assert digits == pytest.approx(0.75, abs=0.02)
    operations = Counter(SYMBOLS[tree[0]] for tree in trees if len(tree) > 1)
    assert all(count / operations.total() == pytest.approx(0.25, abs=0.04) for count in operations.values())
    # Two to ten values, six on average; each is a digit or an operation on six digits, which takes eight tokens.
    mean = sum(len(tree) for tree in trees if len(tree) > 1) / operations.total()
    assert mean == pytest.approx(2 + 6 * (0.75 + 0.25 * 8), abs=0.7)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 7}, "length = 7 does not fit"),
        ({"length": 64, "max_depth": 2}, "trees of 16 to 64 tokens are too rare with max_depth=2 and max_args=10"),
        ({"max_args": 1}, "max_args = 1 does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ListOps(**fields)


def test_what_is_not_found_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = ListOps()
    monkeypatch.setattr(listops, "TRIES", 1)
    with pytest.raises(ConfigError, match=r"none of 1 trees had about 9000 tokens\. Give a smaller length"):
        rules.draw(generator(0), {"length": 9000})
