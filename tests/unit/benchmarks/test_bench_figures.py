"""The arithmetic of the figures: operations counted, medians, ratios, tables."""

import json
from dataclasses import replace

import pytest
from benchmarks import operations, report
from benchmarks.case import (
    ATTENTION,
    COMPRESSIVE,
    DOCUMENTS,
    HASHED,
    LONG_DOCUMENTS,
    LONG_PAIRS,
    MACHINE,
    PAIRS,
    RECURRENT,
    SPARSE,
    WINDOWED,
    Case,
)
from benchmarks.machine import commit, cpu_model, describe
from benchmarks.reading import checkpoints
from benchmarks.turns import Turns


def test_useful_operations_are_those_the_published_figures_were_divided_by():
    # 54.5 GFLOP/s at 450 ms and 89.9 GFLOP/s at 237 ms
    assert operations.with_memory(ATTENTION) / 1e9 == pytest.approx(24.57, abs=0.01)
    assert operations.without_memory(ATTENTION) / 1e9 == pytest.approx(21.35, abs=0.01)


def test_a_query_of_a_chunk_of_two_sees_one_and_a_half_keys_of_it():
    case = replace(ATTENTION, d_model=1, n_layers=1, d_ff=0, vocab_size=0, lanes=1, chunk=2, mem_len=3)
    pairs = 4 * 1.5 * 2 * 3
    projections = 8 * 2 * 3
    assert operations.without_memory(case) == projections + pairs
    assert operations.with_memory(case) == projections + 4 * 4.5 * 2 * 3
    assert operations.sliding_window(case) == projections + 4 * 3 * 2 * 3


def test_each_memory_counts_the_keys_that_its_queries_see():
    def keys(step, case):
        sizes = {"d_model": 1, "n_layers": 1, "d_ff": 0, "vocab_size": 0, "lanes": 1}
        bare = replace(case, **sizes)
        maps = {operations.hashed: 3, operations.window_and_symmetric_global: 6}.get(step, 4)
        return step(bare) / (3 * bare.chunk) / 4 - maps / 2

    assert keys(operations.with_compressed_memory, COMPRESSIVE) == 256 + 64 + 128.5
    assert keys(operations.local_window, WINDOWED) == 256
    assert keys(operations.window_and_global, WINDOWED) == 264
    assert keys(operations.window_and_symmetric_global, WINDOWED) == 272
    assert keys(operations.hashed, HASHED) == 4 * 64
    nine = replace(
        SPARSE, stride=3, summary=1, chunk=9
    )  # the last 3 and each 3rd before; the block and its ends before
    assert keys(operations.strided, nine) == pytest.approx((1 + 2 + 3 + 4 + 4 + 4 + 5 + 5 + 5) / 9)
    assert keys(operations.fixed, nine) == pytest.approx((1 + 2 + 3 + 2 + 3 + 4 + 3 + 4 + 5) / 9)


@pytest.mark.parametrize(
    "case",
    [
        DOCUMENTS,
        LONG_DOCUMENTS,
        PAIRS,
        LONG_PAIRS,
        ATTENTION,
        COMPRESSIVE,
        HASHED,
        MACHINE,
        RECURRENT,
        SPARSE,
        WINDOWED,
    ],
)
def test_a_toy_has_no_more_of_anything_and_nothing_new(case: Case):
    toy, full = case.small().to_json(), case.to_json()
    assert toy["d_model"] < full["d_model"]
    assert all((toy[name] == 0) == (size == 0) for name, size in full.items())
    assert all(toy[name] <= size for name, size in full.items() if isinstance(size, int))


def test_texts_of_a_batch_become_shorter_evenly_and_padding_is_no_work():
    case = replace(DOCUMENTS, lanes=4, chunk=512)
    assert case.lengths(512) == [512, 384, 256, 128]
    assert replace(case, spread=0).lengths(512) == [512] * 4
    assert replace(case, lanes=1).lengths(512) == [512]
    assert replace(case, source=8, chunk=4).tokens == 8 + 6 + 4 + 2 + 4 + 3 + 2 + 1
    alone = sum(operations.classified(replace(case, lanes=1, chunk=n)) for n in case.lengths(512))
    assert operations.classified(case) == alone
    assert (
        operations.classified_by_window(replace(case, lanes=1, window=10**6))
        == operations.classified(replace(case, lanes=1)) + 3 * 512 * case.n_layers * 4 * case.d_model**2
    )


def test_a_pair_s_operations_are_those_of_its_source_and_of_its_target():
    case = replace(PAIRS, d_model=1, n_layers=1, d_ff=0, vocab_size=5, lanes=1, source=3, chunk=2)
    source = 3 * (8 + 4 * 3)
    crossing = 2 * (4 + 4 * 3)
    target = 2 * (8 + 4 * 1.5) + crossing + 2 * 2 * 5
    assert operations.translated(case) == 3 * (source + 3 * 4 + target)
    assert operations.translated_by_window(replace(case, window=2)) == operations.translated(case) + 3 * 3 * (4 - 4)


def test_positions_reach_as_far_as_a_stream_does():
    assert WINDOWED.positions == 4096
    assert replace(WINDOWED, horizon=5000).positions == 5000


def test_a_gru_needs_three_quarters_of_an_lstm_but_for_the_logits():
    case = replace(RECURRENT, vocab_size=0)
    assert operations.gru(case) == operations.lstm(case) * 3 / 4
    assert operations.lstm(case) == 3 * 4 * 512 * 2 * 4 * 2 * 512 * 1024


def test_ratios_are_taken_round_by_round_so_that_drift_cancels():
    ours = Turns("ours", [[1.0], [10.0], [100.0]])
    theirs = Turns("theirs", [[2.0], [20.0], [200.0]])
    assert ours.times_faster_than(theirs) == 2.0


def test_turns_quote_the_median_of_all_steps_and_their_spread():
    turns = Turns("anybody", [[0.001, 0.002], [0.003, 0.100]])
    assert turns.median == 0.0025
    assert turns.best == 0.001
    assert turns.to_json()["quartiles_ms"] == [1.75, 27.25]
    assert turns.to_json()["rounds_ms"] == [1.5, 51.5]
    assert Turns("once", [[2.0]]).spread == (2.0, 2.0)


def test_a_table_lines_up_and_leaves_blank_what_is_not_known():
    table = report.markdown(("name", "ms"), [{"name": "a", "ms": 1234.5}, {"name": "bcdef", "ms": None}, {"ms": 12.34}])
    assert table.splitlines() == [
        "| name  | ms    |",
        "| ----- | ----- |",
        "| a     | 1,234 |",
        "| bcdef |       |",
        "|       | 12.3  |",
    ]


def test_results_are_written_as_json(tmp_path):
    path = report.save("speed", {"rows": [{"ms": 1.5}]}, folder=tmp_path / "new")
    assert json.loads(path.read_text(encoding="utf-8")) == {"rows": [{"ms": 1.5}]}


def test_checkpoints_are_powers_of_ten_and_the_end():
    assert checkpoints(1_000_000) == [1_000, 10_000, 100_000, 1_000_000]
    assert checkpoints(2_500) == [1_000, 2_500]


def test_the_machine_is_described_without_its_paths():
    described = describe(threads=2)
    assert described["cpu"] == cpu_model() != ""
    assert described["commit"] == commit()
    assert described["threads"] == 2
    assert "/" not in str(described["commit"])
