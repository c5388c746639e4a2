"""The bAbI tasks (Weston et al., 2015): stories with questions, made into examples as in Graves et al. (2016).

    1 Mary moved to the bathroom.            mary moved to the bathroom . where is mary ? -
    2 Where is Mary?<tab>bathroom<tab>1                                                   bathroom

A story with all of its questions is one example. Words are in lower case, and punctuation marks are words. The answer
is never read: a dash stands in its place, for each of its words, and there the word is asked for.

With a background, facts are hidden in a book, and each question is an example of its own (everlong.data.babilong).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from everlong.data.babi_files import (
    BabiFile,
    BabiOptions,
    find_files,
    measured_files,
    read_texts,
    training_files,
)
from everlong.data.babi_stories import read_stories
from everlong.data.babilong import Haystack, frequent_words, hiding_places
from everlong.data.chunk import Chunk
from everlong.data.examples import Example, ExampleStore
from everlong.data.words import UNKNOWN, WordTokenizer
from everlong.errors import DataError
from everlong.shapes import IGNORE

FIELDS = ("tokens", "targets", "task")


def build_babi(
    data: Sequence[Path], valid: Sequence[Path], options: BabiOptions, *, train: Path, held_out: Path
) -> WordTokenizer:
    """Make stores of the stories to learn from and of those to measure; the words of the former are the vocabulary.

    Args:
        data: archives, folders or files with the stories to learn from.
        valid: the same with the stories to measure; where there are none, the test files of `data` are measured.
        options: which tasks, from which folder, and what the facts are hidden in.
        train: a new folder for the store to learn from.
        held_out: a new folder for the store to measure; left out where there is nothing to measure.

    Raises:
        DataError: there are no such files, or one cannot be read, or a question asks for a word that no story to be
            learned from has, or the background cannot be read or is too short.
        RunError: a folder is in use, or the disk is full.
    """
    found = find_files(data)
    learned = training_files(found, options)
    options = options.replace(tasks=tuple(sorted({file.task for file in learned})))
    measured = measured_files(find_files(valid) if valid else found, options)
    measured = [file for file in measured if valid or file.part == "test"]
    texts = list(read_texts(learned))
    known = {
        word
        for file, text in texts
        for story in read_stories(text, file.place)
        for word in (*story.words, *filter(None, story.answers))
    }
    taught, tested = hiding_places(options)
    tokenizer = WordTokenizer.of(known.union(frequent_words(taught.sentences) if taught else ()))
    if measured:
        _build(read_texts(measured), tokenizer, held_out, tested)
    _build(texts, tokenizer, train, taught)
    return tokenizer


def build_measured(data: Sequence[Path], options: BabiOptions, tokenizer: WordTokenizer, folder: Path) -> ExampleStore:
    """A store of stories to measure a model on that knows the words of a tokenizer.

    Raises:
        DataError: as :func:`build_babi`.
        RunError: as :func:`build_babi`.
    """
    files = measured_files(find_files(data), options)
    if not files:
        tasks = ", ".join(map(str, options.tasks))
        raise DataError(f"there is no file of the tasks that were learned, {tasks}. Give one, such as qa1_..._test.txt")
    return _build(read_texts(files), tokenizer, folder, hiding_places(options)[1])


def collate_stories(examples: Sequence[Example]) -> Chunk:
    """Stories side by side, one a lane, padded on the right: a document each."""
    tokens, targets = ([torch.from_numpy(example[name]) for example in examples] for name in ("tokens", "targets"))
    padded = pad_sequence(tokens, batch_first=True)
    starts = torch.zeros(padded.shape, dtype=torch.bool)
    starts[:, 0] = True
    return Chunk(
        tokens=padded,
        targets=pad_sequence(targets, batch_first=True, padding_value=IGNORE),
        starts=starts,
        lengths=torch.tensor([len(story) for story in tokens]),
    )


def _build(
    texts: Iterable[tuple[BabiFile, str]], tokenizer: WordTokenizer, folder: Path, haystack: Haystack | None
) -> ExampleStore:
    about: dict[str, Any] = {"tasks": {}, "n_questions": 0, "n_answer_words": 0, "n_unknown": 0}
    if haystack:
        about["hidden"] = {"background": haystack.background, "length": haystack.length}
    return ExampleStore.build(_examples(texts, tokenizer, about, haystack), FIELDS, folder, about=about)


def _examples(
    texts: Iterable[tuple[BabiFile, str]], tokenizer: WordTokenizer, about: dict[str, Any], haystack: Haystack | None
) -> Iterator[Mapping[str, list[int]]]:
    for file, text in texts:
        about["tasks"][str(file.task)] = file.title
        asked = about["n_questions"]
        if haystack:
            stories = haystack.stories(text, file.place, task=file.task, known=tokenizer)
        else:
            stories = read_stories(text, file.place)
        for story in stories:
            tokens = [tokenizer.id_of(word) for word in story.words]
            targets = [IGNORE if answer is None else tokenizer.id_of(answer) for answer in story.answers]
            if 0 in targets:
                raise DataError(
                    f"the story at {story.place} asks for '{story.answers[targets.index(0)]}', a word that no story of "
                    "the training data has. Learn from stories that have it, or leave this one out."
                )
            about["n_questions"] += sum(b != IGNORE and a == IGNORE for a, b in pairwise(targets))
            about["n_answer_words"] += sum(target != IGNORE for target in targets)
            about["n_unknown"] += tokens.count(0) - story.words.count(UNKNOWN)
            yield {"tokens": tokens, "targets": targets, "task": [file.task]}
        if about["n_questions"] == asked:
            raise DataError(f"{file.place} asks no question. Give a file with questions and their answers.")
