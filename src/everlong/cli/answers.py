"""``everlong eval`` of a run that answers questions: exact match and F1, or what is held out, token for token."""

from functools import partial

from everlong.cli.output import answer, write_text
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data import ExampleStore
from everlong.data.asked import AnswerOptions
from everlong.data.questions import read_questions
from everlong.errors import ConfigError
from everlong.evaluate.answering import answer_questions
from everlong.evaluate.answers import Agreement, agreement
from everlong.evaluate.spans import evaluate_spans, point
from everlong.models.answerer import Answerer
from everlong.train.answer import reading_of
from everlong.train.folder import HELD_OUT_EXAMPLES, examples_of


def eval_questions(request: Request) -> None:
    """Answer questions and say how well that agrees with the answers given.

    Without any, those that were held out are answered. A run keeps their tokens and no text, so that it can only be
    told how many answers are exact.

    Raises:
        ConfigError: there are no questions, or a field is unknown or does not fit.
        DataError: the questions cannot be read, or windows leave no room beside one.
    """
    trained = request.run
    model = trained.model
    assert isinstance(model, Answerer)
    fields = assign_fields(request.changes, {"model": type(trained.config), "task": AnswerOptions})
    model = model.with_config(**fields["model"]) if fields["model"] else model
    options, declines = reading_of(examples_of(trained.folder), **fields["task"])
    if not request.data:
        _eval_held_out(request, model, options, declines=declines)
        return
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


def _eval_held_out(request: Request, model: Answerer, options: AnswerOptions, *, declines: bool) -> None:
    kept, learned = request.run.folder / HELD_OUT_EXAMPLES, reading_of(examples_of(request.run.folder))[0]
    if not kept.exists():
        raise ConfigError(f"{request.run.folder} holds no questions to measure. Write --data and the names of files.")
    if options.width != learned.width or options.overlap != learned.overlap:
        raise ConfigError(
            "the questions that were held out are kept as they were read in training. Leave out task.width and "
            "task.overlap, or write --data and the names of files."
        )
    found = evaluate_spans(
        model,
        ExampleStore.open(kept),
        lanes=request.lanes,
        longest=options.longest_answer,
        declines=declines,
        point=partial(point, model),
    )
    exact = found.right / found.n_questions
    if request.as_json:
        facts = {"run": str(request.run.folder), "model": model.architecture, "task": "answer"}
        answer({**facts, "n_questions": found.n_questions, "exact_tokens": exact, "bits_per_window": found.bits})
        return
    write_text(
        f"{exact:.1%} of {found.n_questions:,} held-out questions answered in the very tokens, {found.bits:.4f} bits "
        f"for each of {found.n_windows:,} windows. For exact match and F1 give --data.\n"
    )


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
