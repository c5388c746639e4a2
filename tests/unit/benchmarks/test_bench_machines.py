"""Machines with a matrix: the plain DNC is ours in other words, and what lasts is watched."""

import json
import sys
from typing import Any

import pytest
import torch
from benchmarks import endurance
from benchmarks.case import MACHINE
from benchmarks.gate import worst_disagreement
from benchmarks.harness import TOLERANCE
from benchmarks.lengths import in_words
from benchmarks.operations import dnc, machine, mann, ntm
from benchmarks.peers import ours, plain_dnc


def test_the_plain_dnc_has_the_weights_and_the_answers_of_ours() -> None:
    case = MACHINE.small()
    torch.manual_seed(0)
    mine, plain = ours.dnc(case), plain_dnc.build(case)
    plain.module.load_state_dict(mine.module.state_dict())
    with torch.no_grad():
        mine.module.interface.weight.mul_(9)
        plain.module.interface.weight.mul_(9)
    tokens = torch.randint(case.vocab_size, (3, 2, 20))
    found = list[Any]()
    for contestant in (mine.module.double(), plain.module.double()):
        _, memory = contestant(tokens[0])
        nats, memory, _ = contestant.token_losses(tokens[1], tokens[2], memory)
        nats.sum().backward()
        found.append((memory.flatten(), {name: p.grad for name, p in contestant.named_parameters()}))
    torch.testing.assert_close(*found, rtol=0, atol=1e-9)


def test_the_plain_dnc_passes_the_gate() -> None:
    assert worst_disagreement(plain_dnc.build, MACHINE.small()) < TOLERANCE


def test_operations_of_a_controller_are_those_of_its_products() -> None:
    controller = 8 * 256 * (256 + 256 + 128) + 2 * 384 * 256 + 2 * 256 * 256
    assert machine(MACHINE, told=0, access=0) == 3 * 64 * controller
    told = {dnc: 32 * 4 + 3 * 32 + 5 * 4 + 3, ntm: 5 * 38 + 64, mann: 128}
    for count, size in told.items():
        rest = count(MACHINE) - machine(MACHINE, told=size, access=0)
        assert 0 < rest < 0.2 * count(MACHINE)


def test_lengths_in_words() -> None:
    assert [in_words(time) for time in (64, 512, 1024, 4096)] == ["64", "512", "1k", "4k"]


def test_a_training_that_was_interrupted_ends_as_one_that_was_not(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(endurance, "CHECKPOINT", 2)
    whole = endurance.train("ntm", updates=6, folder=tmp_path / "whole")
    endurance.train("ntm", updates=3, folder=tmp_path / "half")
    assert endurance.train("ntm", updates=6, folder=tmp_path / "half") == whole
    assert (whole["updates"], whole["finite"]) == (6, True)
    assert whole["largest_gradient_norm"] > 0


def test_a_training_ends_at_the_first_update_that_is_not_finite(tmp_path, monkeypatch) -> None:
    losses = iter([1.0, float("nan"), 1.0])
    honest = endurance.answer_losses
    monkeypatch.setattr(endurance, "answer_losses", lambda *given: honest(*given) * next(losses))
    row = endurance.train("mann", updates=3, folder=tmp_path)
    assert (row["updates"], row["finite"]) == (2, False)


@pytest.mark.parametrize("name", list(endurance.SIZES))
def test_a_stream_says_what_its_memory_takes(name: str, monkeypatch) -> None:
    monkeypatch.setattr(endurance, "CHUNK", 50)
    monkeypatch.setattr(endurance, "checkpoints", lambda tokens: [100, tokens])
    row = endurance.stream(name, tokens=200)
    assert row["finite"]
    assert len(row["bytes_per_session"]) == 1
    assert [place["token"] for place in row["places"]] == [100, 200]


def test_results_that_are_there_are_kept(tmp_path, monkeypatch) -> None:
    made = list[str]()

    def stream(name: str, *, tokens: int) -> dict[str, Any]:
        made.append(name)
        return {"model": name, "tokens": tokens}

    monkeypatch.setattr(endurance, "stream", stream)
    monkeypatch.setattr(endurance, "RESULTS", tmp_path)
    for models, expected in ((["ntm"], ["ntm"]), (["ntm", "dnc"], ["ntm", "dnc"])):
        monkeypatch.setattr(sys, "argv", ["endurance", "stream", "--tokens", "1000", "--models", *models])
        endurance.main()
        assert made == expected
    rows = json.loads((tmp_path / "endurance-stream.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["ntm", "dnc"]
