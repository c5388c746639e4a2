"""Examples on disk, and how they come back in batches."""

import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import Example, ExampleReader, ExampleStore, batches, example_batches
from everlong.data.sealed import write_sealed
from everlong.errors import ConfigError, DamagedFile, DataError, RunError

SOME = [{"tokens": [3, 1, 4, 1], "label": [0]}, {"tokens": [], "label": [-100]}, {"tokens": [70_000], "label": [1]}]


def make(folder: Path, examples: Sequence[dict[str, Any]] = SOME, **more: Any) -> ExampleStore:
    return ExampleStore.build(examples, list(examples[0]), folder, **more)


def numbered(folder: Path, lengths: Sequence[int]) -> ExampleStore:
    """Examples that begin with their number."""
    return make(folder, [{"tokens": [n] + [9] * (length - 1)} for n, length in enumerate(lengths)])


def plain(example: Example) -> dict[str, list[int]]:
    return {name: values.tolist() for name, values in example.items()}


def first_tokens(examples: list[Example]) -> list[int]:
    return [int(example["tokens"][0]) for example in examples]


def test_a_store_gives_back_its_examples(tmp_path: Path) -> None:
    make(tmp_path / "a" / "store", about={"labels": ["坏", "good"]})
    store = ExampleStore.open(str(tmp_path / "a" / "store"))
    assert [plain(example) for example in store] == SOME
    assert (len(store), store.fields, store.about) == (3, ("tokens", "label"), {"labels": ["坏", "good"]})
    assert store.lengths.tolist() == [4, 1, 1]
    assert store[0]["tokens"].dtype == np.int64
    names = {"tokens.bin", "tokens-starts.bin", "label.bin", "label-starts.bin", "examples.json"}
    assert {path.name for path in store.folder.iterdir()} == names
    store.verify()
    store.release()
    assert plain(store[2]) == SOME[2]


def test_what_examples_say_about_themselves_may_grow_while_they_are_read(tmp_path: Path) -> None:
    labels: dict[str, int] = {}

    def read() -> Iterator[dict[str, list[int]]]:
        for name in ("b", "a", "b"):
            yield {"label": [labels.setdefault(name, len(labels))]}

    store = ExampleStore.build(read(), ["label"], tmp_path / "store", about=labels)
    assert (store.about, [int(e["label"][0]) for e in store]) == ({"b": 0, "a": 1}, [0, 1, 0])


def test_the_digest_tells_stores_apart(tmp_path: Path) -> None:
    one = make(tmp_path / "one")
    assert one.digest == make(tmp_path / "same").digest
    others = [
        make(tmp_path / "fewer", SOME[:2]),
        make(tmp_path / "cut", [{"tokens": [3, 1], "label": [0]}, {"tokens": [4, 1], "label": [-100]}, SOME[2]]),
        make(tmp_path / "about", about={"labels": []}),
    ]
    assert len({one.digest, *[other.digest for other in others]}) == 4


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([SOME[0], {"tokens": [1]}], r"example 1 has tokens, the store has tokens, label\. Give each example all"),
        (
            [{"tokens": [1 << 31], "label": [0]}],
            r"tokens of example 0 has a number that is not between -2147483648",
        ),
        ([{"tokens": [1], "label": []}], r"there is nothing in label\. Give at least one example that is not empty"),
    ],
)
def test_examples_that_do_not_fit_are_refused_and_leave_nothing(
    tmp_path: Path, examples: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make(tmp_path / "store", examples)
    assert list(tmp_path.iterdir()) == []


def test_no_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing in tokens"):
        ExampleStore.build([], ["tokens"], tmp_path / "store")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "store")
    with pytest.raises(RunError, match="is in use: there is something in it"):
        make(tmp_path / "store")


@pytest.mark.parametrize("index", [-1, 3])
def test_an_example_that_is_not_there_is_refused(tmp_path: Path, index: int) -> None:
    with pytest.raises(IndexError, match=f"there is no example {index}: the store has 3, counted from 0"):
        make(tmp_path / "store")[index]


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    write_sealed(tmp_path / "examples.json", {"n_examples": "3"})
    with pytest.raises(DamagedFile, match=r"examples\.json does not describe a store of examples \(.*build the store"):
        ExampleStore.open(tmp_path)


@pytest.mark.parametrize("name", ["tokens.bin", "label-starts.bin"])
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "store").folder / name
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(DamagedFile, match=rf"{name} is damaged: its contents do not match their checksum"):
        ExampleStore.open(path.parent).verify()
    path.write_bytes(whole[:-1])
    with pytest.raises(DamagedFile, match=rf"{name} is damaged: it has {len(whole) - 1} bytes instead of"):
        ExampleStore.open(path.parent)
    path.unlink()
    with pytest.raises(DamagedFile, match=rf"{name} is missing\. Remove the folder"):
        ExampleStore.open(path.parent)


def test_building_needs_little_memory(tmp_path: Path) -> None:
    example = {"tokens": np.arange(2_000)}
    tracemalloc.start()
    store = ExampleStore.build((example for _ in range(5_000)), ["tokens"], tmp_path / "store")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert int(store.lengths.sum()) == 10_000_000
    assert peak < 5 << 20


# In batches


@given(size=st.integers(1, 30), lanes=st.integers(1, 7), seed=st.integers(0, 3))
def test_every_example_is_read_once_an_epoch(
    tmp_path_factory: pytest.TempPathFactory, size: int, lanes: int, seed: int
) -> None:
    store = numbered(tmp_path_factory.mktemp("s") / "store", [1 + n % 5 for n in range(size)])
    reader = ExampleReader(store, first_tokens, lanes=lanes, seed=seed)
    counted: Counter[int] = Counter()
    for batch in range(1, 4 * size + 1):
        counted.update(read := next(reader))
        assert len(read) == lanes
        # Batches of an epoch are those that begin in it; after the last one everything was read once more.
        begun = batch * lanes // size
        if begun > (batch - 1) * lanes // size:
            assert {counted[n] - begun for n in range(size)} <= {0, 1}
            assert sum(counted.values()) == batch * lanes


def test_epochs_differ_and_follow_from_the_seed_alone(tmp_path: Path) -> None:
    store = numbered(tmp_path / "store", [2] * 40)

    def epochs(seed: int) -> list[list[list[int]]]:
        reader = ExampleReader(store, first_tokens, lanes=4, seed=seed)
        return [[next(reader) for _ in range(10)] for _ in range(2)]

    assert epochs(1) == epochs(1) != epochs(2)
    assert epochs(1)[0] != epochs(1)[1]
    assert sorted(chain(*epochs(1)[0])) == list(range(40))


def test_examples_of_like_length_are_together_and_their_batches_are_shuffled(tmp_path: Path) -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1000).tolist()
    store = numbered(tmp_path / "store", lengths)
    reader = ExampleReader(store, first_tokens, lanes=5, seed=0)
    longest = [max(lengths[n] for n in numbers) for numbers in islice(reader, 200)]
    assert sum(lengths) / (5 * sum(longest)) > 0.97
    assert abs(float(np.corrcoef(longest, np.arange(200))[0, 1])) < 0.2


def test_ranks_share_each_batch(tmp_path: Path) -> None:
    store = numbered(tmp_path / "store", [3] * 11)
    whole = ExampleReader(store, first_tokens, lanes=6, seed=5)
    ranks = [ExampleReader(store, first_tokens, lanes=6, seed=5, rank=rank, world=3) for rank in range(3)]
    for batch in islice(whole, 9):
        assert list(chain(*(next(rank) for rank in ranks))) == batch


def test_a_reader_goes_on_where_it_stopped(tmp_path: Path) -> None:
    store = numbered(tmp_path / "store", [1, 2, 3, 4, 5, 6, 7])
    reader = ExampleReader(store, first_tokens, lanes=2, seed=3)
    list(islice(reader, 9))
    cursor = reader.cursor()
    assert cursor["batch"] == 9
    expected = list(islice(reader, 9))
    again = ExampleReader(store, first_tokens, lanes=2, seed=3).seek(cursor)
    assert list(islice(again, 9)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 4}, r"the cursor was taken with lanes=4, this reader has lanes=2\. Go on with the same data"),
        ({"seed": 1}, "the cursor was taken with seed=1, this reader has seed=0"),
        ({"store": "abc"}, "the cursor was taken with store=abc"),
        ({"batch": -1}, r"the cursor's batch is -1, which counts no batches\. Give one from cursor"),
    ],
)
def test_other_cursors_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    reader = ExampleReader(numbered(tmp_path / "store", [1, 2, 3]), first_tokens, lanes=2, seed=0)
    with pytest.raises(DataError, match=message):
        reader.seek(reader.cursor() | change)


def test_lanes_must_be_shared_evenly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lanes=5 cannot be shared evenly by world=2 ranks"):
        ExampleReader(numbered(tmp_path / "store", [1]), first_tokens, lanes=5, seed=0, world=2)


def test_pages_are_let_go_of_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[int] = []
    monkeypatch.setattr(batches, "RELEASE", 20)
    monkeypatch.setattr(ExampleStore, "release", lambda _: released.append(1))
    reader = ExampleReader(numbered(tmp_path / "store", [5] * 8), first_tokens, lanes=2, seed=0)
    list(islice(reader, 8))
    assert len(released) == 4


def test_what_is_measured_is_every_example_once_or_some_spread_over_all(tmp_path: Path) -> None:
    store = numbered(tmp_path / "store", [1 + n % 3 for n in range(10)])
    read = [first_tokens(batch) for batch in example_batches(store, lanes=4)]
    assert [len(batch) for batch in read] == [4, 4, 2]
    assert read[0] == [2, 5, 8, 1]
    assert sorted(chain(*read)) == list(range(10))
    assert sorted(chain(*map(first_tokens, example_batches(store, lanes=9, limit=4)))) == [0, 2, 5, 7]
    with pytest.raises(ConfigError, match="limit=0 is too small"):
        example_batches(store, lanes=4, limit=0)
