"""Errors of questions, against asking them one by one."""

import math
from collections import defaultdict

import pytest
import torch
from torch import Tensor

from everlong.data import Chunk, ExampleStore
from everlong.data.babi import build_babi
from everlong.data.babi_files import BabiOptions
from everlong.evaluate.babi import StoryAnswers, TaskAnswers, evaluate_stories
from everlong.models import create_model
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE
from tests.stories import TWO, folder, moves


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ExampleStore:
    home = tmp_path_factory.mktemp("babi")
    files = {"qa1_where_train.txt": moves(stories=9, seed=1), "qa8_lists_train.txt": TWO}
    build_babi([folder(home / "f", files)], [], BabiOptions(), train=home / "t", held_out=home / "h")
    return ExampleStore.open(home / "t")


def machine(store: ExampleStore, seed: int = 0) -> AnyLanguageModel:
    torch.manual_seed(seed)
    size = 1 + int(max(example["tokens"].max() for example in store))
    return create_model("lstm", vocab_size=size, d_model=8, n_layers=1).double().eval()


def asked_one_by_one(model: AnyLanguageModel, store: ExampleStore) -> dict[int, tuple[int, int, float]]:
    """Reference: questions, wrong ones and nats of each task, a token at a time, a word at a time."""
    found: dict[int, list[tuple[bool, float]]] = defaultdict(list)
    for example in store:
        memory, right, nats, inside = model.init_memory(1), True, 0.0, False
        for token, target in [*zip(example["tokens"], example["targets"], strict=True), (0, IGNORE)]:
            if target == IGNORE and inside:
                found[int(example["task"][0])].append((right, nats))
                right, nats, inside = True, 0.0, False
            logits, memory = model(torch.tensor([[int(token)]]), memory)
            if target != IGNORE:
                scores = logits[0, 0].log_softmax(-1)
                nats -= float(scores[target])
                right, inside = right and int(scores.argmax()) == target, True
    return {
        task: (len(asked), sum(not right for right, _ in asked), sum(nats for _, nats in asked))
        for task, asked in found.items()
    }


@pytest.mark.parametrize("lanes", [1, 4, 50])
def test_errors_are_those_of_questions_asked_one_by_one(store: ExampleStore, lanes: int) -> None:
    model, seen = machine(store), list[int]()
    with torch.no_grad():
        expected = asked_one_by_one(model, store)
    found = evaluate_stories(model, store, lanes=lanes, report=seen.append)
    assert [(task.task, task.title) for task in found.tasks] == [(1, "where"), (8, "lists")]
    for task in found.tasks:
        n, wrong, nats = expected[task.task]
        assert (task.n_questions, task.n_wrong) == (n, wrong)
        assert task.nats == pytest.approx(nats, rel=1e-9)
    assert found.tasks[1].n_questions == 2, "an answer of two words is one answer"
    assert seen[-1] == len(store)


def test_a_question_is_right_only_when_all_its_words_are(store: ExampleStore) -> None:
    def perfect(_: AnyLanguageModel, chunk: Chunk) -> Tensor:
        logits = torch.zeros(*chunk.tokens.shape, 99)
        logits.scatter_(2, chunk.targets.clamp_min(0)[..., None], 5.0)
        return logits

    def half(model: AnyLanguageModel, chunk: Chunk) -> Tensor:
        logits, asked = perfect(model, chunk), chunk.targets != IGNORE
        second = asked & torch.cat([torch.zeros_like(asked[:, :1]), asked[:, :-1]], dim=1)
        logits[second] = 0.0
        return logits

    assert evaluate_stories(machine(store), store, lanes=3, answer=perfect).mean_error == 0
    found = evaluate_stories(machine(store), store, lanes=3, answer=half)
    assert [(task.n_wrong, task.error) for task in found.tasks] == [(0, 0.0), (1, 0.5)]
    assert (found.mean_error, found.n_failed) == (0.25, 1)


def test_figures_follow_from_counts() -> None:
    def task(number: int, wrong: int) -> TaskAnswers:
        return TaskAnswers(task=number, title="x", n_questions=100, n_wrong=wrong, nats=100 * math.log(2) * number)

    found = StoryAnswers(tasks=(task(1, 5), task(2, 6)))
    assert [t.failed for t in found.tasks] == [False, True], "five in a hundred is not over 5 %"
    assert found.to_dict() == {
        "mean_error": pytest.approx(0.055),
        "n_failed": 1,
        "bits_per_answer": pytest.approx(1.5),
        "tasks": [
            {"task": 1, "title": "x", "error": 0.05, "failed": False, "n_questions": 100, "n_wrong": 5},
            {"task": 2, "title": "x", "error": 0.06, "failed": True, "n_questions": 100, "n_wrong": 6},
        ],
    }


def test_some_stories_stand_for_all(store: ExampleStore) -> None:
    found = evaluate_stories(machine(store), store, lanes=3, limit=2)
    assert [(task.task, task.n_questions) for task in found.tasks] == [(1, 8)]
