"""What a run learns from and what is held out of it, and which of both ``everlong eval`` measures."""

import hashlib
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from everlong.cli.corpus import HELD_OUT, Source
from everlong.cli.request import Request
from everlong.data import ExampleStore
from everlong.errors import ConfigError
from everlong.train.folder import HELD_OUT_EXAMPLES

T = TypeVar("T")
Read = Callable[[Iterable[Path]], Iterator[T]]


def learned(source: Source, read: Read[T], *, together: Callable[[T], str] | None = None) -> Iterator[T]:
    """What is learned of a source: all of ``--data``, or without ``--valid`` what is not `held_out` of it."""
    return read(source.data) if source.valid else _drawn(read(source.data), together, aside=False)


def held_out(source: Source, read: Read[T], *, together: Callable[[T], str] | None = None) -> Iterator[T]:
    """What is measured: all of ``--valid``, or without it one in twenty of ``--data``.

    These are drawn by lot, for files are often in the order of their labels; those that have the same text by
    `together` are drawn together. The lot is the same each time.
    """
    return read(source.valid) if source.valid else _drawn(read(source.data), together, aside=True)


def _drawn(found: Iterator[T], together: Callable[[T], str] | None, *, aside: bool) -> Iterator[T]:
    lot = np.random.default_rng(0)
    drawn: dict[bytes, bool] = {}
    for one in found:
        if together is None:
            its = lot.random() < 1 / HELD_OUT
        else:
            text = hashlib.sha256(together(one).encode()).digest()
            if text not in drawn:
                drawn[text] = lot.random() < 1 / HELD_OUT
            its = drawn[text]
        if its == aside:
            yield one


@contextmanager
def examples_to_measure(
    request: Request, build: Callable[[Path], ExampleStore], *, what: str, otherwise: bool = False
) -> Generator[ExampleStore]:
    """The examples that ``everlong eval`` measures: those that are given, or those that a run held out.

    Args:
        request: what was asked.
        build: makes a store of what is given in a new folder.
        what: the name of the examples, for a refusal.
        otherwise: whether they are to be made otherwise than those that were held out.

    Raises:
        ConfigError: nothing is given, and nothing fits that was held out.
    """
    kept = request.run.folder / HELD_OUT_EXAMPLES
    if not request.data and (otherwise or not kept.exists()):
        raise ConfigError(f"no {what} are given to measure. Write --data and the names of files.")
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        yield build(Path(folder) / "store") if request.data else ExampleStore.open(kept)
