"""Contestants that read whole texts: what they are given, and what the gate finds wrong with them."""

from dataclasses import replace

import pytest
import torch
from benchmarks.case import Case
from benchmarks.gate import worst_disagreement
from benchmarks.harness import TOLERANCE
from benchmarks.texts import N_CLASSES, Teller, Writer, padding_mask
from benchmarks.worker import obey
from torch import Tensor, nn
from torch.nn import functional as F

TELLING = Case(d_model=8, n_layers=1, vocab_size=11, lanes=4, chunk=16, spread=75)
WRITING = replace(TELLING, source=12, chunk=8, beams=1)


def mean_of(vectors: Tensor, lengths: Tensor | None, *, feels_padding: bool) -> Tensor:
    real = padding_mask(vectors[..., 0], None if feels_padding else lengths)
    real = torch.ones(vectors.shape[:2]) if real is None else real
    return (vectors * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)


def teller(case: Case, *, feels_padding: bool = False, other_loss: bool = False) -> Teller:
    """A text is of the class that the mean of its tokens says."""
    embedding, head = nn.Embedding(case.vocab_size, case.d_model), nn.Linear(case.d_model, N_CLASSES)

    def tell(tokens: Tensor, lengths: Tensor | None) -> Tensor:
        return head(mean_of(embedding(tokens), lengths, feels_padding=feels_padding))

    made = Teller(nn.ModuleList([embedding, head]), case, tell)
    if other_loss:
        made.loss = lambda tokens, classes, _memory: (F.cross_entropy(tell(tokens, None), classes), 0.0, None)
    return made


def writer(
    case: Case, *, feels_padding: bool = False, counts_padding: bool = False, writes_least: bool = False
) -> Writer:
    """The next token follows from the last one and the mean of the source."""
    embedding, head = nn.Embedding(case.vocab_size, case.d_model), nn.Linear(case.d_model, case.vocab_size)

    def foresee(source: Tensor, lengths: Tensor | None, tokens: Tensor) -> Tensor:
        return head(embedding(tokens) + mean_of(embedding(source), lengths, feels_padding=feels_padding)[:, None])

    def nats(source: Tensor, lengths: Tensor | None, tokens: Tensor, targets: Tensor, _: Tensor | None) -> Tensor:
        wanted = targets.clamp(min=0) if counts_padding else targets
        return F.cross_entropy(foresee(source, lengths, tokens).flatten(0, 1), wanted.flatten(), reduction="sum")

    def write(source: Tensor, lengths: Tensor | None, _beams: int, count: int) -> Tensor:
        written = torch.zeros(len(source), 1, dtype=torch.long)
        for _ in range(count):
            last = foresee(source, lengths, written[:, -1:])[:, -1]
            written = torch.cat([written, (-last if writes_least else last).argmax(-1, keepdim=True)], dim=1)
        return written[:, 1:]

    return Writer(nn.ModuleList([embedding, head]), case, foresee=foresee, nats=nats, write=write)


def test_a_teller_learns_and_tells() -> None:
    contestant = teller(TELLING)
    assert contestant.lengths is not None
    assert contestant.lengths.tolist() == [16, 12, 8, 4]
    assert teller(replace(TELLING, spread=0)).lengths is None
    tokens, classes = contestant.example()
    assert (tokens.shape, classes.shape) == ((4, 16), (4,))
    assert all(len(obey(contestant, {"do": do, "count": 2})["seconds"]) == 2 for do in ("train", "forward"))


def test_a_writer_learns_and_writes() -> None:
    contestant = writer(WRITING)
    source, target = contestant.example()
    assert (source.shape, target.shape) == ((4, 12), (4, 9))
    assert all(len(obey(contestant, {"do": do, "count": 2})["seconds"]) == 2 for do in ("train", "write"))
    with pytest.raises(ValueError, match="to one that writes from a source, write"):
        obey(teller(TELLING), {"do": "write", "count": 1})


def test_a_loss_is_one_of_real_targets() -> None:
    contestant = writer(WRITING)
    source, target = contestant.example()
    changed = target.clone()
    changed[3, 3:] = 0  # the last lane has a target of 2 tokens
    assert torch.equal(contestant.loss(source, target, None)[0], contestant.loss(source, changed, None)[0])


def test_the_gate_lets_right_ones_through() -> None:
    assert worst_disagreement(teller, TELLING) < TOLERANCE
    assert worst_disagreement(writer, WRITING) < TOLERANCE


@pytest.mark.parametrize("mistake", ["feels_padding", "other_loss"])
def test_the_gate_catches_a_wrong_teller(mistake: str) -> None:
    assert worst_disagreement(lambda case: teller(case, **{mistake: True}), TELLING) > TOLERANCE


@pytest.mark.parametrize("mistake", ["feels_padding", "counts_padding", "writes_least"])
def test_the_gate_catches_a_wrong_writer(mistake: str) -> None:
    assert worst_disagreement(lambda case: writer(case, **{mistake: True}), WRITING) > TOLERANCE
