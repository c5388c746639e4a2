"""``everlong eval`` of a run that answers questions: exact match and F1."""

from everlong.cli.output import answer, write_text
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data.asked import AnswerOptions
from everlong.data.questions import read_questions
from everlong.errors import ConfigError
from everlong.evaluate.answering import answer_questions
from everlong.evaluate.answers import Agreement, agreement
from everlong.models.answerer import Answerer
from everlong.train.answer import reading_of
from everlong.train.folder import examples_of


def eval_questions(request: Request) -> None:
    """Answer questions and say how well that agrees with the answers given.

    Raises:
        ConfigError: there are no questions, or a field is unknown or does not fit.
        DataError: the questions cannot be read, or windows leave no room beside one.
    """
    trained = request.run
    if not request.data:
        raise ConfigError("no questions are given to measure. Write --data and the names of files.")
    model = trained.model
    assert isinstance(model, Answerer)
    fields = assign_fields(request.changes, {"model": type(trained.config), "task": AnswerOptions})
    model = model.with_config(**fields["model"]) if fields["model"] else model
    options, declines = reading_of(examples_of(trained.folder), **fields["task"])
    questions = list(read_questions(request.data))
    told: list[str] = []
    with counting("questions", len(questions)) as report:
        for one in answer_questions(
            model, trained.tokenizer, questions, options, declines=declines, lanes=request.lanes
        ):
            told.append(one.text)
            report(len(told))
    found = agreement(told, [[given.text for given in question.answers] for question in questions])
    if request.as_json:
        answer({"run": str(trained.folder), "model": model.architecture, "task": "answer", **found.to_dict()})
        return
    write_text(describe(found))


def describe(found: Agreement) -> str:
    """The figures in a sentence or two."""
    apart = ""
    if found.answerable_f1 is not None and found.unanswerable_right is not None:
        apart = (
            f" F1 {100 * found.answerable_f1:.2f} of the {found.n_answerable:,} that have an answer; "
            f"{found.unanswerable_right:.1%} of the others are left without one."
        )
    return (
        f"exact match {100 * found.exact:.2f}, F1 {100 * found.f1:.2f} by the rules of {found.rules}, over "
        f"{found.n_questions:,} questions.{apart}\n"
    )
