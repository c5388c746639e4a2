"""The contest itself: contestants in processes of their own, the gate, and what stops a run."""

import json
from dataclasses import replace

import pytest
import torch
from benchmarks import harness, peers, rosters
from benchmarks.__main__ import main
from benchmarks.case import Case
from benchmarks.contestant import Contestant
from benchmarks.gate import worst_disagreement
from benchmarks.harness import TOLERANCE, BenchmarkError, Worker, prove_right, started, take_turns
from benchmarks.peers import sgemm, torch_rnn
from benchmarks.settings import Settings
from benchmarks.training import measure
from benchmarks.worker import obey

TINY = Case(d_model=8, n_layers=1, n_heads=2, d_ff=16, mem_len=8, vocab_size=11, lanes=2, chunk=8)


def test_contestants_take_turns_in_processes_of_their_own():
    with started([peers.TORCH_GRU, peers.TORCH_LSTM], TINY, threads=1) as workers:
        trained = take_turns(workers, "train", rounds=2)
        passed = take_turns(workers, "forward", rounds=1) + take_turns(workers, "backward", rounds=1)
        read = take_turns(workers, "read", rounds=1, count=3)
        decoded = take_turns(workers, "decode", rounds=1, count=5, warmup=0)
        assert [record.name for record in trained] == ["torch_gru", "torch_lstm"]
        assert [len(record.seconds) for record in trained + read + decoded] == [2, 2, 3, 3, 5, 5]
        assert [len(record.seconds) for record in passed] == [1, 1, 1, 1]
        assert all(seconds > 0 for record in decoded for seconds in record.seconds)
        gru, lstm = workers
        assert 3 * gru.hello["parameters"] > 2 * lstm.hello["parameters"]
        assert 0 < gru.hello["loaded_mb"] <= gru.peak_mb
        assert gru.process.pid != lstm.process.pid
        with pytest.raises(BenchmarkError, match=r"contestant torch_gru ended with exit code 1 .* repair it"):
            gru.ask("dance")
        with pytest.raises(BenchmarkError, match="contestant torch_gru ended with exit code 1"):
            gru.ask("read", count=1)
    assert all(worker.process.poll() is not None for worker in workers)


def test_a_contestant_trains_with_carried_memory_and_comes_back_to_a_mark():
    contestant = torch_rnn.gru(TINY)
    before = [parameter.detach().clone() for parameter in contestant.module.parameters()]
    contestant.train_step()
    assert not contestant.memory.requires_grad
    assert any(not torch.equal(old, new) for old, new in zip(before, contestant.module.parameters(), strict=True))
    obey(contestant, {"do": "mark", "name": "here"})
    here = contestant.memory
    answer = obey(contestant, {"do": "decode", "count": 2})
    assert len(answer["seconds"]) == 2
    assert contestant.memory is not here
    obey(contestant, {"do": "recall", "name": "here"})
    assert contestant.memory is here


def test_a_pass_from_nothing_changes_neither_the_stream_nor_the_weights():
    contestant = torch_rnn.gru(TINY)
    contestant.read_chunk()
    here, token = contestant.memory, contestant.token
    before = [parameter.detach().clone() for parameter in contestant.module.parameters()]
    obey(contestant, {"do": "forward", "count": 1})
    obey(contestant, {"do": "backward", "count": 1})
    assert contestant.memory is here
    assert contestant.token is token
    for old, new in zip(before, contestant.module.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None


def test_a_memory_s_own_loss_is_trained_on_and_not_reported_as_likelihood():
    honest = torch_rnn.gru(TINY)
    weight = honest.module.logits.bias

    def loss(tokens, targets, memory):
        nats, _, memory = honest.loss(tokens, targets, memory)
        return 0.0 * nats, 7.0 * weight.sum(), memory

    contestant = replace(honest, loss=loss, case=replace(TINY, optimizer="sgd"))
    before = weight.detach().clone()
    contestant.train_step()
    torch.testing.assert_close(before - weight.detach(), torch.full_like(before, 7e-3))


def test_a_worker_refuses_a_command_it_does_not_know():
    with pytest.raises(ValueError, match="does not know the command 'dance': send train, backward, forward, read"):
        obey(torch_rnn.gru(TINY), {"do": "dance"})


def test_the_gate_lets_a_right_model_through():
    assert worst_disagreement(torch_rnn.lstm, TINY) < TOLERANCE


def test_the_gate_catches_a_model_that_forgets_between_chunks():
    def build(case: Case) -> Contestant:
        honest = torch_rnn.gru(case)
        return replace(honest, advance=lambda tokens, _memory: honest.advance(tokens, None))

    assert worst_disagreement(build, TINY) > TOLERANCE


def test_the_gate_catches_it_even_where_all_logits_begin_at_zero():
    def build(case: Case) -> Contestant:
        honest = torch_rnn.gru(case)
        torch.nn.init.zeros_(honest.module.logits.weight)
        torch.nn.init.zeros_(honest.module.logits.bias)
        return replace(honest, advance=lambda tokens, _memory: honest.advance(tokens, None))

    assert worst_disagreement(build, TINY) > TOLERANCE


def test_the_gate_catches_a_training_loss_that_is_not_the_model_s():
    def build(case: Case) -> Contestant:
        honest = torch_rnn.gru(case)
        return replace(honest, loss=lambda tokens, _targets, memory: honest.loss(tokens, tokens, memory))

    assert worst_disagreement(build, TINY) > TOLERANCE


def test_the_gate_catches_a_model_that_answers_nan():
    def build(case: Case) -> Contestant:
        honest = torch_rnn.gru(case)
        torch.nn.init.constant_(honest.module.logits.bias, float("nan"))
        return honest

    assert not worst_disagreement(build, TINY) <= TOLERANCE


@pytest.mark.parametrize("disagreement", [1e-3, float("nan")])
def test_a_wrong_model_of_ours_is_not_timed(monkeypatch, disagreement):
    class Unsteady:
        def __init__(self, *_, **__):
            self.hello = {"disagreement": disagreement}

        def close(self):
            pass

    monkeypatch.setattr(harness, "Worker", Unsteady)
    with pytest.raises(BenchmarkError, match=r"everlong_gru disagrees with itself by .* no figure is taken"):
        prove_right([peers.TORCH_GRU, peers.EVERLONG_GRU], TINY, threads=1)


def test_the_gate_runs_in_a_process_of_its_own():
    worker = Worker(peers.TORCH_GRU, TINY, threads=1, gate_only=True)
    worker.close()
    assert worker.hello["disagreement"] < TOLERANCE


def test_a_benchmark_gives_a_row_a_contestant_and_shares_of_the_matrix_product():
    once = rosters.Group(case=TINY, peers=(peers.TORCH_SDPA,), label="short")
    twice = rosters.labelled(once, "long", chunk=2 * TINY.chunk)
    result = measure([once, twice, rosters.PEAK], Settings(threads=1, rounds=1))
    short, long, product = result["rows"]
    assert result["columns"][:2] == ["contestant", "size"]
    assert [(row["contestant"], row["size"]) for row in (short, long)] == [
        ("torch_sdpa", "short"),
        ("torch_sdpa", "long"),
    ]
    assert short["time / first"] == long["time / first"] == 1.0
    assert long["tokens/s"] * long["ms/step"] == pytest.approx(2 * short["tokens/s"] * short["ms/step"])
    assert 0 < short["% of sgemm"] < 100 == pytest.approx(product["% of sgemm"])
    json.dumps(result)


def test_the_matrix_product_only_takes_training_steps():
    with pytest.raises(ValueError, match="leave it out of reading and decoding"):
        sgemm.build(TINY).read_chunk()


def test_an_unknown_contestant_is_named_with_those_there_are():
    with pytest.raises(BenchmarkError, match="no contestant is called 'gpt': there are everlong_xl, "):
        rosters.entrants([rosters.LSTM], Settings(threads=1, rounds=1, only=("gpt",)))


def test_nobody_left_is_an_error():
    with pytest.raises(BenchmarkError, match="no contestant is left: name others"):
        rosters.entrants([rosters.LSTM], Settings(threads=1, rounds=1, only=("everlong_gru",)))


def test_a_peer_whose_environment_is_not_built_is_left_out_aloud(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(peers.ENVIRONMENTS, "hf", tmp_path / "absent")
    settings = Settings(threads=1, rounds=1, only=("everlong_xl", "hf_transfoxl"))
    groups = rosters.entrants([rosters.RECURRENT_ATTENTION], settings)
    assert [peer.name for group in groups for peer in group.peers] == ["everlong_xl"]
    assert "hf_transfoxl is absent: benchmarks/peers/setup.sh" in capsys.readouterr().err


def test_the_command_ends_with_two_and_one_sentence(capsys):
    assert main(["decode", "--only", "gpt"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("benchmarks: no contestant is called 'gpt'")
