"""The benchmarks of long memories: encoders in the gate, cost against length, depth, and who takes part."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from benchmarks import __main__ as command
from benchmarks import lengths, peers, reversible, rosters
from benchmarks.case import ATTENTION, HASHED, SPARSE, WINDOWED, Case
from benchmarks.contestant import IGNORE, Encoder, hidden_token_loss, next_token_loss
from benchmarks.decoding import BURST, prompted
from benchmarks.gate import worst_disagreement
from benchmarks.harness import TOLERANCE
from benchmarks.peers import ours
from benchmarks.plot import cost_against_length
from benchmarks.settings import Settings
from benchmarks.turns import Turns
from torch import Tensor, nn

TINY = Case(d_model=8, n_layers=1, n_heads=2, d_ff=16, vocab_size=11, lanes=2, chunk=16)
ONCE = Settings(threads=1, rounds=1)
EVERY_PEER = {peer.name: peer for group in rosters.EVERYBODY for peer in group.peers}.values()


def encoder(case: Case, *, feels_padding: bool = False, loss_at_all: bool = False) -> Encoder:
    """Every token sees the mean of its text."""
    embedding, head = nn.Embedding(case.vocab_size + 1, case.d_model), nn.Linear(case.d_model, case.vocab_size)

    def encode(tokens: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(tokens.shape[1]) < lengths[:, None]
        seen = torch.ones_like(real) if feels_padding else real
        hidden = embedding(tokens)
        return hidden + (hidden * seen[..., None]).sum(1, keepdim=True) / seen.sum(1)[:, None, None]

    def whole(tokens: Tensor) -> Tensor:
        return encode(tokens, torch.full((len(tokens),), tokens.shape[1]))

    def loss(tokens: Tensor, targets: Tensor, _memory: object) -> tuple[Tensor, float, None]:
        if loss_at_all:
            return next_token_loss(head(whole(tokens)), targets.clamp(min=0)), 0.0, None
        return hidden_token_loss(head, whole(tokens), targets), 0.0, None

    return Encoder(
        module=nn.ModuleList([embedding, head]),
        case=case,
        advance=lambda tokens, _memory: (head(whole(tokens)), None),
        loss=loss,
        padded=lambda tokens, lengths: head(encode(tokens, lengths)),
    )


def test_an_encoder_restores_hidden_tokens():
    contestant = encoder(replace(TINY, chunk=4000))
    inputs, targets = contestant.example()
    hidden = inputs == TINY.vocab_size
    assert 0.13 < hidden.float().mean() < 0.17
    assert torch.equal(hidden, targets != IGNORE)
    assert 0 <= targets[hidden].min() <= targets[hidden].max() < TINY.vocab_size
    contestant.train_step()
    contestant.backward_chunk()
    contestant.forward_chunk()


def test_the_loss_of_hidden_tokens_is_computed_where_it_is_asked_for():
    head, hidden = nn.Linear(8, 11), torch.randn(2, 5, 8)
    targets = torch.tensor([[1, IGNORE, 2, IGNORE, IGNORE], [IGNORE, 3, IGNORE, IGNORE, 10]])
    torch.testing.assert_close(hidden_token_loss(head, hidden, targets), next_token_loss(head(hidden), targets))


def test_the_gate_lets_a_right_encoder_through():
    assert worst_disagreement(encoder, TINY) < TOLERANCE


@pytest.mark.parametrize("mistake", ["feels_padding", "loss_at_all"])
def test_the_gate_catches_a_wrong_encoder(mistake):
    assert worst_disagreement(lambda case: encoder(case, **{mistake: True}), TINY) > TOLERANCE


def test_the_gate_computes_in_the_type_that_a_contestant_asks_for():
    seen = set()

    def build(case: Case) -> Encoder:
        contestant = encoder(case)
        contestant.proof = torch.float64
        honest = contestant.advance

        def advance(tokens, memory):
            logits, memory = honest(tokens, memory)
            seen.add(logits.dtype)
            return logits, memory

        contestant.advance = advance
        return contestant

    assert worst_disagreement(build, TINY) < 1e-12
    assert seen == {torch.float64}


@pytest.mark.parametrize("peer", [peer for peer in EVERY_PEER if peer.is_ours], ids=lambda peer: peer.name)
def test_a_toy_of_each_of_ours_passes_the_gate(peer):
    case = next(group.case for group in rosters.EVERYBODY if peer in group.peers)
    build = getattr(ours, peer.build.removeprefix("ours:"))
    assert worst_disagreement(build, case.small()) < TOLERANCE


@pytest.mark.parametrize("peer", EVERY_PEER, ids=lambda peer: peer.name)
def test_a_peer_s_builder_and_environment_are_there(peer):
    folder = peers.ROOT / "benchmarks/peers"
    module, function = peer.build.split(":")
    assert f"def {function}(case: Case)" in (folder / f"{module}.py").read_text()
    if peer.environment != "own":
        assert (folder / f"{peer.environment}.txt").exists()
        assert re.search(rf"for name in .*\b{peer.environment}\b", (folder / "setup.sh").read_text())


def test_every_benchmark_and_contestant_is_described():
    page = (peers.ROOT / "benchmarks/README.md").read_text()
    missing = [name for name in (*command.BENCHMARKS, *(peer.name for peer in EVERY_PEER)) if f"`{name}`" not in page]
    assert missing == []


def test_groups_are_joined_resized_and_thinned():
    mixed = rosters.joined(rosters.WINDOW, rosters.DENSE)
    assert mixed.case == WINDOWED
    assert mixed.peers == (*rosters.WINDOW.peers, peers.TORCH_SDPA)
    assert rosters.labelled(mixed, "wide", window=512).case.window == 512
    assert rosters.ours([mixed, rosters.DENSE]) == [replace(mixed, peers=(peers.EVERLONG_LONGFORMER,))]
    assert rosters.without([rosters.DENSE], peers.TORCH_SDPA)[0].peers == ()


def test_a_rehearsal_is_a_contest_of_toys():
    (group,) = rosters.entrants([rosters.CEILING], replace(ONCE, rehearse=True))
    assert group.case == ATTENTION.small()


def test_a_prompt_fills_the_memory_and_leaves_room():
    assert prompted(rosters.WINDOW, ONCE).case.positions == 2048 + 2 * BURST
    assert prompted(rosters.PATTERNS, ONCE).case.chunk == SPARSE.context


def test_an_exponent_is_the_slope_in_logarithms():
    assert lengths.exponent([1, 2, 4, 8], [3.0, 6.0, 12.0, 24.0]) == pytest.approx(1.0)
    assert lengths.exponent([10, 100, 1000], [1.0, 10**1.5, 1000.0]) == pytest.approx(1.5)


def test_strides_grow_with_the_root_and_buckets_with_the_length():
    assert lengths.at_length(SPARSE, 16_384).stride == 128
    assert lengths.at_length(SPARSE, 1024).stride == 32
    assert lengths.at_length(SPARSE, 2048).context == 43 * 48 >= 2048
    assert lengths.at_length(HASHED, 8192).n_buckets == 256
    window = lengths.at_length(WINDOWED, 2048)
    assert (window.window, window.stride, window.n_buckets, window.lanes, window.chunk) == (256, 0, 0, 1, 2048)


def test_a_contestant_that_has_become_too_slow_is_spared_longer_texts(monkeypatch):
    asked = []

    def take_turns(workers, do, *, rounds):
        asked.append((workers[0].chunk, do, rounds))
        return [Turns("anybody", [[(workers[0].chunk / 1024) ** 2]])]

    def worker(_peer, case, *, threads):
        assert threads == 1
        return SimpleNamespace(chunk=case.chunk, peak_mb=float(case.chunk), hello={"versions": {}}, close=lambda: None)

    monkeypatch.setattr(lengths, "take_turns", take_turns)
    monkeypatch.setattr(lengths, "Worker", worker)
    row = lengths.sweep(peers.TORCH_SDPA, rosters.DENSE, "forward", ONCE, (1024, 65_536))
    assert asked == [(1024, "forward", 1), (2048, "forward", 1), (4096, "forward", 1)]
    assert row["exponent"] == pytest.approx(2.0)
    assert (row["1k"], row["4k"], row["peak MB"]) == (1e3, 16e3, 4096.0)
    assert "8k" not in row


def test_activations_are_what_is_neither_loaded_nor_gradient():
    worker = SimpleNamespace(
        hello={"parameters": 25_000_000, "loaded_mb": 300.0, "versions": {}}, peak_mb=1000.0, peer=peers.HF_REFORMER
    )
    row = reversible.figures(worker, depth=32, seconds=2.0)
    assert row["activations MB"] == 600.0
    assert (row["layers"], row["ms"], row["M parameters"]) == (32, 2000.0, 25.0)


def test_the_plot_of_the_same_figures_is_the_same_file(tmp_path):
    rows = [
        {"contestant": name, "size": size, "pass": do, "lengths": [1024, 2048], "ms": [1.0, 2.5], "exponent": 1.32}
        for name, size in (("everlong_longformer", "window 64"), ("torch_sdpa", ""))
        for do in ("forward", "backward")
    ]
    for name in ("first.svg", "second.svg"):
        cost_against_length(rows, tmp_path / name)
    drawn = (tmp_path / "first.svg").read_text()
    assert drawn == (tmp_path / "second.svg").read_text()
    assert "everlong_longformer, window 64: n^1.32" in drawn


def test_what_can_be_drawn_is_drawn_beside_its_figures(monkeypatch, tmp_path, capsys):
    row = {"contestant": "torch_sdpa", "size": "", "pass": "forward", "lengths": [1, 2], "ms": [1.0, 2.0]}
    result = {"columns": ["contestant", "pass"], "rows": [row | {"exponent": 1.0}]}
    monkeypatch.setitem(command.BENCHMARKS, "length", (lambda _settings: result, 1))
    assert command.main(["length", "--name", str(tmp_path / "drawn")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.json", "drawn.svg"]
    assert command.main(["length", "--rehearse", "--name", str(tmp_path / "not")]) == 0
    assert len(list(tmp_path.iterdir())) == 2
    assert "a rehearsal: these figures mean nothing" in capsys.readouterr().err
