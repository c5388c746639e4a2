"""Every task has a place in every table."""

from typing import get_args

from everlong.cli.evaluators import EVALUATORS
from everlong.cli.examples import FORMATS
from everlong.cli.lessons import course
from everlong.cli.recipe import options_of
from everlong.data.synthetic import RULES
from everlong.train.config import TaskName
from everlong.train.tasks import TASKS


def test_every_task_can_be_taught_and_measured() -> None:
    names = set(get_args(TaskName))
    assert names == TASKS.keys() == EVALUATORS.keys()
    assert {name for name in names if options_of(name)} == RULES.keys() | FORMATS.keys()
    for name in names:
        assert course(name).takes or name in RULES
