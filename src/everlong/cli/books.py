"""``everlong eval --task story``: what the memory of earlier chapters is worth, and how much a model repeats itself."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from everlong.cli.output import answer, say
from everlong.cli.part_table import print_parts
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data import Document, TokenStore, read_documents
from everlong.data.chapters import chapter_parts
from everlong.errors import ConfigError, DataError
from everlong.evaluate.parts import documents_in_parts, evaluate_parts
from everlong.evaluate.repetition import Repetition, repetition
from everlong.generate.stories import Keeper, Story, StoryOptions, places, write_story


def eval_books(request: Request) -> None:
    """Read books chapter by chapter, write stories from where chapters begin, and say what was found.

    Raises:
        ConfigError: there are no books, or a field is unknown or does not fit.
        DataError: the books cannot be read, or none has chapters.
    """
    trained, tokenizer = request.run, request.run.tokenizer
    if not request.data:
        raise ConfigError("no books are given to measure. Write --data and the names of files or folders.")
    model = trained.language_model
    fields = assign_fields(request.changes, {"model": type(model.config), "task": StoryOptions})
    model = model.with_config(**fields["model"]) if fields["model"] else model
    options = StoryOptions.parse(fields["task"])
    names, left_out = list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        books = _with_chapters(request, names, left_out)
        store = TokenStore.build(books, tokenizer, Path(folder) / "store")
        documents = documents_in_parts(store, tokenizer, chapter_parts, limit=request.limit)
        keeper = Keeper(places(documents, options))
        with counting("tokens", sum(len(document.tokens) for document in documents)) as report:
            found = evaluate_parts(
                model,
                store,
                tokenizer,
                chapter_parts,
                lanes=request.lanes,
                limit_tokens=request.limit,
                watch=keeper,
                report=report,
            )
        stories = list[Story]()
        with counting("stories", len(keeper.wanted)) as report:
            for place in keeper.wanted:
                stories.append(write_story(model, tokenizer, documents, place, keeper.kept[place], options))
                report(len(stories))
    told = {
        "model": repetition([story.written for story in stories]),
        "author": repetition([story.original for story in stories]),
    }
    if left_out:
        say(f"left out, as they have no chapter headings: {', '.join(left_out)}")
    if request.as_json:
        written = [
            {"book": names[number], "chapter": index + 1, "prompt": story.prompt, "text": story.written}
            for story in stories
            for number, index in [story.place]
        ]
        about = {"run": str(trained.folder), "model": model.architecture, "task": "story", "left_out": left_out}
        repeated = {who: shares.to_dict() for who, shares in told.items()}
        answer({**about, "chapters": found.to_dict(), "repetition": repeated, "stories": written})
        return
    print_parts("chapter", found)
    if stories:
        _print_repetition(told, stories, options)
    elif options.stories:
        say(
            f"No chapter after a first one has {options.prompt + options.length:,} tokens, so no story was written. "
            "Give --set task.length a smaller value."
        )
    if found.total.other is None:
        say("There is one book, so there is no other one's memory.")


def _with_chapters(request: Request, names: list[str], left_out: list[str]) -> Iterator[Document]:
    """The books that have chapters; the names of all go to one list or the other."""
    for book in read_documents(request.data, separator=request.separator):
        whole = Document(book.name, book.text)
        has = bool(chapter_parts(whole.text).counted)
        (names if has else left_out).append(book.name)
        if has:
            yield whole
    if not names:
        raise DataError(
            f"{left_out[0]} has no chapters: no line of it is a heading such as CHAPTER I, Chapter One or 第一回 with "
            "a chapter after it. Write such headings into it, or measure it without --task story."
        )


def _print_repetition(told: dict[str, Repetition], stories: Sequence[Story], options: StoryOptions) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "words", "4-grams repeated", "distinct-1", "distinct-2"):
        figures.add_column(column, justify="right")
    for who, shares in told.items():
        cells = [shares.repeated_4, shares.distinct_1, shares.distinct_2]
        figures.add_row(who, f"{shares.n_words:,}", *("–" if cell is None else f"{cell:.3f}" for cell in cells))
    console = Console()
    about = f"{len(stories)} stories of {options.length} tokens from where chapters begin, seed {options.seed}"
    console.print(f"{about}, and the author's own text there", soft_wrap=True)
    console.print(figures)
