"""Sequences beside what a model did: which they are, how it went, and how tokens are printed."""

from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer, Document
from everlong.data.synthetic import Copy, Episode
from everlong.errors import ConfigError
from everlong.evaluate.episodes import draw_measured, evaluate_episodes
from everlong.evaluate.trace import Trace
from everlong.evaluate.traced import Traced, token_label, trace_episodes, trace_texts
from everlong.models import create_model
from everlong.shapes import IGNORE

SIZES: dict[str, Any] = {"d_model": 8, "memory_slots": 5, "slot_size": 3}


def machine(name: str = "ntm", **fields: int) -> Any:
    torch.manual_seed(0)
    return create_model(name, **SIZES, **fields).eval()


def test_episodes_are_those_that_are_measured() -> None:
    rules, model = Copy(max_length=3, bits=2), machine(input_size=3, output_size=2)
    found = list(trace_episodes(model, rules, {"length": 4}, count=2, first=1))
    drawn = list(draw_measured(rules, {"length": 4}, count=3))[1:]
    for traced, episode in zip(found, drawn, strict=True):
        assert traced.episode is not None
        assert torch.equal(traced.episode.inputs, episode.inputs)
        assert (traced.steps, traced.n_asked, dict(traced.shown_at)) == (9, 8, {5: 0, 6: 1, 7: 2, 8: 3})
    assert [traced.name for traced in found] == ["copy, length 4, sequence 1", "copy, length 4, sequence 2"]


def test_wrong_bits_are_those_of_an_evaluation() -> None:
    rules, model = Copy(max_length=3, bits=2), machine("dnc", input_size=3, output_size=2)
    (trial,) = evaluate_episodes(model, rules, trials=[{"length": 4}], sequences=3, lanes=3)
    found = list(trace_episodes(model, rules, {"length": 4}, count=3, first=0))
    assert sum(traced.n_wrong for traced in found) == trial.n_wrong


def test_episodes_of_another_size_than_the_models() -> None:
    with pytest.raises(ConfigError, match="task=copy shows vectors of 9 numbers"):
        list(trace_episodes(machine(input_size=3, output_size=2), Copy(), {"length": 4}, count=1, first=0))


def test_the_outcome_counts_bits_and_answers() -> None:
    slots = torch.eye(3)[:, None]
    trace = Trace(answers=torch.tensor([[5.0], [1.0], [-1.0]]), writes=slots, reads=slots[[2, 0, 2]], usage=None)
    episode = Episode(inputs=torch.zeros(3, 1), targets=torch.tensor([[IGNORE], [1.0], [1.0]]))
    traced = Traced(name="mine", trace=trace, episode=episode, shown_at={1: 0, 2: 1})
    assert traced.outcome == "1 of 2 bits wrong; 1 of 2 answers addressed right"
    told = traced.to_dict()
    assert (told["steps"], told["n_wrong"], told["n_bits"], told["n_addressed_right"], told["n_shown"]) == (
        3,
        1,
        2,
        1,
        2,
    )
    assert [head["slot"] for head in told["reads"]] == [[2, 0, 2]]
    assert "tokens" not in told


def test_texts_are_read_from_their_beginning() -> None:
    documents = [Document("one", ["to b", "e or not"]), Document("two", "no"), Document("three", "never")]
    found = list(trace_texts(machine("dnc"), ByteTokenizer(), documents, count=2, limit=6))
    assert [(traced.name, traced.labels) for traced in found] == [
        ("one, 6 tokens", ("t", "o", "␣", "b", "e", "␣")),
        ("two, 2 tokens", ("n", "o")),
    ]
    assert found[0].outcome == ""
    assert found[0].to_dict()["tokens"] == list("to␣be␣")
    assert "n_bits" not in found[0].to_dict()


@pytest.mark.parametrize(
    ("token", "label"),
    [(b"a", "a"), (b" of", "␣of"), (b"\n\n", "⏎⏎"), (b"\t", "09"), ("船".encode(), "船"), (b"\xe8\x88", "e888")],
)
def test_every_token_can_be_printed(token: bytes, label: str) -> None:
    assert token_label(token) == label
