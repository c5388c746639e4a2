"""What can be taught, what from, and to whom.

    lm, mlm        text                              everlong.train.text_tasks
    dialogue       conversations                     everlong.train.text_tasks
    copy, ...      rules that draw sequences         everlong.train.episodes
    babi           stories with questions            everlong.train.babi
    classify       texts with labels                 everlong.train.classify
    tag            texts with tagged words           everlong.train.tag
    translate      pairs of texts                    everlong.train.pairs
    summarize      documents with summaries          everlong.train.pairs
    answer         questions about texts             everlong.train.answer

A task with examples of its own is a child of `ExampleTask` (everlong.train.example_task) and an entry of `TASKS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

from everlong.data import ExampleStore, Tokenizer, TokenStore
from everlong.data.synthetic import RULES, Rules, TokenRules
from everlong.errors import ConfigError
from everlong.models import describe_model, list_models
from everlong.models.base import Model, VectorConfig
from everlong.models.registry import Kind, joins_sections
from everlong.train.answer import AnswerTask
from everlong.train.babi import Babi
from everlong.train.classify import Classify
from everlong.train.config import TaskName, TrainConfig
from everlong.train.episodes import episodes
from everlong.train.pairs import TextPairs
from everlong.train.tag import Tag
from everlong.train.task import Given, Material, Task
from everlong.train.text_tasks import hidden_tokens, next_tokens, next_turns

TASK_OF_KIND: dict[Kind, TaskName] = {"causal": "lm", "encoder": "mlm", "seq2seq": "translate"}
"""What models of each kind learn unless a task is named."""

MATERIALS: dict[type[Material], str] = {TokenStore: "a corpus", Rules: "rules", ExampleStore: "examples"}
"""What tasks learn from, in words."""


@final
@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a task is made, what it is taught from, and which architectures can learn it."""

    make: Callable[[Given], Task]
    material: type[Material]
    learners: Callable[[], list[str]]


def vector_readers() -> list[str]:
    """Architectures that can read and answer vectors."""
    return [name for name in list_models() if issubclass(describe_model(name)[1], VectorConfig)]


def joining_encoders() -> list[str]:
    """Encoders in which a token may learn of a question that stands in another section."""
    return [name for name in list_models("encoder") if joins_sections(name)]


TASKS: dict[str, Entry] = {
    "lm": Entry(make=next_tokens, material=TokenStore, learners=partial(list_models, "causal")),
    "dialogue": Entry(make=next_turns, material=TokenStore, learners=partial(list_models, "causal")),
    "mlm": Entry(make=hidden_tokens, material=TokenStore, learners=partial(list_models, "encoder")),
    "babi": Entry(make=Babi, material=ExampleStore, learners=partial(list_models, "causal")),
    "classify": Entry(make=Classify, material=ExampleStore, learners=partial(list_models, "encoder")),
    "tag": Entry(make=Tag, material=ExampleStore, learners=partial(list_models, "encoder")),
    "answer": Entry(make=AnswerTask, material=ExampleStore, learners=joining_encoders),
    "translate": Entry(make=TextPairs, material=ExampleStore, learners=partial(list_models, "seq2seq")),
    "summarize": Entry(make=TextPairs, material=ExampleStore, learners=partial(list_models, "seq2seq")),
    **{
        name: Entry(
            make=episodes,
            material=Rules,
            learners=partial(list_models, "causal") if issubclass(rules, TokenRules) else vector_readers,
        )
        for name, rules in RULES.items()
    },
}


def make_task(
    model: Model, data: Material, valid: Material | None, config: TrainConfig, tokenizer: Tokenizer | None
) -> Task:
    """The task that the settings name, with what it is taught from.

    Raises:
        ConfigError: it is for other models, or is taught from something else.
    """
    require_learnable(config.task, model.architecture)
    entry = TASKS[config.task]
    for material in (data, valid):
        if material is not None and not isinstance(material, entry.material):
            found = next(words for kind, words in MATERIALS.items() if isinstance(material, kind))
            raise ConfigError(
                f"task={config.task} learns from {MATERIALS[entry.material]}, and was given {found}. "
                "Give it what it learns from, or name another task."
            )
    return entry.make(Given(model=model, data=data, valid=valid, config=config, tokenizer=tokenizer))


def require_learnable(task: TaskName, architecture: str) -> None:
    """Make sure that an architecture can learn a task.

    Raises:
        ConfigError: the task is for others.
    """
    if architecture not in (able := TASKS[task].learners()):
        raise ConfigError(
            f"{architecture} cannot learn task={task}, which is for {', '.join(able)}. "
            f"Give task={TASK_OF_KIND[describe_model(architecture)[0]]}, or choose one of these."
        )
