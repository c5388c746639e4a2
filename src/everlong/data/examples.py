"""Examples of a task on disk: built once in constant memory, mapped instead of loaded.

An example is a few named sequences of integers; their names are the store's ("tokens" and "targets", say). For each:

FIELD.bin           the numbers of all examples, one after another; int32, little-endian
FIELD-starts.bin    where each example's begin, then how many there are; int64, little-endian

examples.json has counts, checksums, and what the task says about its examples (the names of labels, say); sealed.
"""

import mmap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from everlong.data.mapped import START_TYPE, HashedFile, map_file, read_facts, release_pages, verify_files
from everlong.data.sealed import digest, write_sealed
from everlong.data.source import BLOCK
from everlong.data.staging import staged_folder
from everlong.errors import DataError

EXAMPLES = "examples.json"
VALUE_TYPE = np.dtype("<i4")
RANGE = np.iinfo(VALUE_TYPE)

Example = dict[str, NDArray[np.int64]]
"""The sequences of an example, by their names."""
Values = Sequence[int] | NDArray[np.integer[Any]]


class FieldFacts(BaseModel):
    """What ``examples.json`` says of one of the sequences, all examples together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    n_values: NonNegativeInt
    values_sha256: str
    starts_sha256: str


class ExampleFacts(BaseModel):
    """What ``examples.json`` says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    n_examples: PositiveInt
    fields: dict[str, FieldFacts]
    about: dict[str, Any]


@final
class ExampleStore:
    """The examples of a task, each under its number."""

    def __init__(self, folder: Path, facts: ExampleFacts) -> None:
        self.folder, self.facts = folder, facts
        self._values: dict[str, NDArray[np.int32]] = {}
        self._starts: dict[str, NDArray[np.int64]] = {}
        self._maps: list[mmap.mmap] = []
        for name, field in facts.fields.items():
            values = map_file(folder / values_name(name), n_bytes=field.n_values * VALUE_TYPE.itemsize)
            starts = map_file(folder / starts_name(name), n_bytes=(facts.n_examples + 1) * START_TYPE.itemsize)
            self._values[name] = np.frombuffer(values, VALUE_TYPE)
            self._starts[name] = np.frombuffer(starts, START_TYPE)
            self._maps += [values, starts]

    @classmethod
    def build(
        cls,
        examples: Iterable[Mapping[str, Values]],
        fields: Sequence[str],
        folder: str | PathLike[str],
        *,
        about: Mapping[str, Any] | None = None,
    ) -> "ExampleStore":
        """Write examples, each with a sequence for all of the `fields`, to a new folder and open it.

        ``about`` holds JSON values and is read after the last example, so that the examples may fill it. The folder
        appears when it is complete; a build that fails or is killed leaves none.

        Raises:
            DataError: there are no examples, one has other fields, a number is too large, or nothing but empty
                sequences is in a field.
            RunError: the folder has something in it, another process is building it, or the disk is full.
        """
        folder = Path(folder)
        with staged_folder(folder) as part:
            n_examples, facts = _write(examples, fields, part)
            whole = ExampleFacts(n_examples=n_examples, fields=facts, about=dict(about or {}))
            write_sealed(part / EXAMPLES, whole.model_dump())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> "ExampleStore":
        """Map a store that was built before. Sizes are checked here, contents by :meth:`verify`.

        Raises:
            DamagedFile: a file is missing, altered or of the wrong size.
        """
        folder = Path(folder)
        return cls(folder, read_facts(folder / EXAMPLES, ExampleFacts, what="a store of examples"))

    def __len__(self) -> int:
        """How many examples there are."""
        return self.facts.n_examples

    def __getitem__(self, index: int) -> Example:
        """An example's sequences, copied from the disk.

        Raises:
            IndexError: there is no such example.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"there is no example {index}: the store has {len(self)}, counted from 0.")
        return {
            name: values[self._starts[name][index] : self._starts[name][index + 1]].astype(np.int64)
            for name, values in self._values.items()
        }

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the sequences."""
        return tuple(self.facts.fields)

    @property
    def about(self) -> Mapping[str, Any]:
        """What the task says about its examples."""
        return self.facts.about

    @property
    def lengths(self) -> NDArray[np.int64]:
        """For each example, the length of its longest sequence."""
        return np.max([np.diff(starts) for starts in self._starts.values()], axis=0)

    @property
    def digest(self) -> str:
        """SHA-256 of all sequences and of what is said about them, in hexadecimal: equal for equal stores."""
        return digest(self.facts.model_dump())

    def verify(self) -> None:
        """Read all of it and compare checksums.

        Raises:
            DamagedFile: a file has changed since it was built.
        """
        for name, field in self.facts.fields.items():
            stated = {values_name(name): field.values_sha256, starts_name(name): field.starts_sha256}
            verify_files(self.folder, stated)

    def release(self) -> None:
        """Let go of the pages read so far, so that a reader's memory does not grow with the files."""
        release_pages(self._maps)


def values_name(field: str) -> str:
    """The file that has the numbers of a field."""
    return f"{field}.bin"


def starts_name(field: str) -> str:
    """The file that says where the examples of a field begin."""
    return f"{field}-starts.bin"


def _write(
    examples: Iterable[Mapping[str, Values]], fields: Sequence[str], folder: Path
) -> tuple[int, dict[str, FieldFacts]]:
    n_examples, places = 0, dict.fromkeys(fields, 0)
    with ExitStack() as stack:
        files = {
            name: tuple(
                HashedFile(stack.enter_context((folder / path).open("wb", BLOCK)))
                for path in (values_name(name), starts_name(name))
            )
            for name in fields
        }
        for example in examples:
            if example.keys() != files.keys():
                raise DataError(
                    f"example {n_examples} has {', '.join(example)}, the store has {', '.join(fields)}. "
                    "Give each example all of these, and no others."
                )
            for name, (values, starts) in files.items():
                starts.write(np.array([places[name]], START_TYPE))
                values.write(_checked(example[name], f"{name} of example {n_examples}"))
                places[name] += len(example[name])
            n_examples += 1
        if empty := [name for name, count in places.items() if not count]:
            raise DataError(f"there is nothing in {', '.join(empty)}. Give at least one example that is not empty.")
        for name, (_, starts) in files.items():
            starts.write(np.array([places[name]], START_TYPE))
    return n_examples, {
        name: FieldFacts(n_values=places[name], values_sha256=values.sha256, starts_sha256=starts.sha256)
        for name, (values, starts) in files.items()
    }


def _checked(values: Values, what: str) -> NDArray[np.int32]:
    array = np.asarray(values, np.int64)
    if len(array) and not RANGE.min <= array.min() <= array.max() <= RANGE.max:
        raise DataError(f"{what} has a number that is not between {RANGE.min} and {RANGE.max}. Give smaller numbers.")
    return array.astype(VALUE_TYPE)
