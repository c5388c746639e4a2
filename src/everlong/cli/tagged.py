"""Tagged words of files as a run's examples.

Without ``--valid``, one text in twenty is held out, drawn by lot.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from everlong.cli.corpus import Source
from everlong.cli.held_out import held_out, learned
from everlong.data import Example, ExampleStore, Tokenizer
from everlong.data.spelling import Spelling
from everlong.data.tag_windows import TAG_FIELDS, tag_windows
from everlong.data.tagged import TaggedText, TagOptions, read_tagged
from everlong.data.tags import tag_numbers
from everlong.errors import DataError, did_you_mean


def build_tagged(source: Source, options: TagOptions, folder: Path, aside: Path) -> Tokenizer:
    """Store the tagged texts of a source, and those of them that are held out; the tokenizer of both.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: a file or a line cannot be used, there are no entities, or windows leave no room for words.
    """

    read = partial(read_tagged, options=options)
    # Of all texts: a rare type may be drawn whole into those held out.
    types = sorted({entity.type for text in read(source.data) for entity in text.entities})
    if not types:
        raise DataError("every word has the tag O, so there are no entities to learn. Give texts that have some.")
    by_character = all(len(word) == 1 for text in read(source.data) for word in text.words)
    tokenizer = source.make_tokenizer(lambda: _training_text(learned(source, read), by_character=by_character))
    spelling = Spelling(tokenizer, by_character=by_character)
    if next(held_out(source, read), None) is not None:
        store_tagged(held_out(source, read), types, spelling, options, aside)
    store_tagged(learned(source, read), types, spelling, options, folder)
    return tokenizer


def _training_text(texts: Iterable[TaggedText], *, by_character: bool) -> Iterator[str]:
    """What byte pairs are learned from; where every character is read by itself, none of two characters."""
    for text in texts:
        yield "\n".join(text.words) if by_character else " ".join(text.words)
        yield "\n"


def store_tagged(
    texts: Iterator[TaggedText], types: Sequence[str], spelling: Spelling, options: TagOptions, folder: Path
) -> ExampleStore:
    """A store of tagged texts, which also says how they became examples.

    Raises:
        DataError: an entity is of none of these types, or windows leave no room for words.
    """

    def examples() -> Iterator[Example]:
        for text in texts:
            _require_known(text, types)
            tags = tag_numbers(text.entities, len(text.words), types)
            yield from tag_windows(text.words, text.begins, tags, spelling, width=options.width)

    about: dict[str, Any] = {
        "types": list(types),
        "by_character": spelling.by_character,
        "options": options.model_dump(),
    }
    return ExampleStore.build(examples(), TAG_FIELDS, folder, about=about)


def _require_known(text: TaggedText, types: Sequence[str]) -> None:
    for kind, begin, _ in text.entities:
        if kind not in types:
            raise DataError(
                f"{text.place}, word {begin + 1}, has an entity of type '{kind}', which was not learned."
                f"{did_you_mean(kind, types)} Types are {', '.join(types)}."
            )
