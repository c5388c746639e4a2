"""The files of the bAbI tasks, in an archive, in folders, or one by one: which there are, and what is in them.

A file is named ``qa1_single-supporting-fact_train.txt``: the number of the task, its title, and what it is for.
"""

import lzma
import re
import tarfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self, final

from pydantic import Field, model_validator

from everlong.config import Config
from everlong.data.source import read_blocks
from everlong.data.utf8 import decode
from everlong.errors import DataError

NAME = re.compile(r"qa(\d+)_(?:(.+)_)?(train|valid|test)\.txt(?:\.(?:gz|xz|zst))?")
STANDARD = "en-10k"
"""The folder that results are about, where there are several: English, with ten thousand questions a task."""
REMEDY = "Give a tar archive or a folder of bAbI files (qa1_..._train.txt), or such files one by one."


class BabiOptions(Config):
    """What is learned of an archive, or of folders."""

    tasks: tuple[int, ...] = ()
    """Numbers of the tasks; all that there are, unless given."""
    folder: str = ""
    """Which folder, where there are several."""
    background: str = ""
    """A text that facts are hidden in, each question apart (everlong.data.babilong); none, unless given."""
    length: int = Field(default=0, ge=0)
    """Words of facts and background together; facts alone where they are no fewer."""

    @model_validator(mode="after")
    def _hidden(self) -> Self:
        if self.length and not self.background:
            raise ValueError(f"length={self.length} is that of facts in a background; give --set task.background=PATH.")
        return self


@final
@dataclass(frozen=True, kw_only=True)
class BabiFile:
    """Stories of one task."""

    home: Path
    """The archive that it is in, or the file itself."""
    member: str
    """Its name in the archive; empty for a file of its own."""
    folder: str
    """Name of the folder that it is in; empty for a file that was named itself."""
    task: int
    title: str
    part: str
    """``train``, ``valid`` or ``test``."""

    @property
    def place(self) -> str:
        """What to call it in a sentence."""
        return f"{self.home}:{self.member}" if self.member else str(self.home)


def find_files(paths: Iterable[Path]) -> list[BabiFile]:
    """Every bAbI file in archives and folders, and those that are named themselves; by task.

    Raises:
        DataError: a path is missing, damaged, or holds no such file.
    """
    found: list[BabiFile] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no file or folder {path}. {REMEDY}")
        if path.is_dir():
            inside = [_file(file, "", file.parent.name, file.name) for file in sorted(path.rglob("qa*"))]
        elif NAME.fullmatch(path.name):
            inside = [_file(path, "", "", path.name)]
        else:
            names = [name for name in map(PurePosixPath, _members(path)) if name.suffix == ".txt"]
            inside = [_file(path, str(name), name.parent.name, name.name) for name in names]
        files = [file for file in inside if file is not None]
        if not files:
            raise DataError(f"there are no bAbI files in {path}. {REMEDY}")
        found += files
    return sorted(found, key=lambda file: (file.task, str(file.home), file.member))


def choose_folder(files: Sequence[BabiFile], folder: str) -> str:
    """The folder whose stories are read: the one asked for, the only one, or `STANDARD`.

    Raises:
        DataError: there is none of that name, or there are several and none is asked for.
    """
    folders = sorted({file.folder for file in files if file.folder})
    named = folder or (STANDARD if STANDARD in folders else "")
    if named in folders or not folders:
        return named
    if named:
        raise DataError(f"there is no folder {named} among the bAbI files. There are {', '.join(folders)}.")
    if len(folders) > 1:
        raise DataError(f"there are bAbI files in {', '.join(folders)}. Name one with --set task.folder={folders[0]}.")
    return folders[0]


def training_files(files: Sequence[BabiFile], options: BabiOptions) -> list[BabiFile]:
    """What is learned: the training files of a folder.

    A task of which an English folder has tests and no training file is learned from what the other English folders
    have: their training and validation files of that task.

    Raises:
        DataError: a task that is asked for has no training file, or none has one.
    """
    folder = choose_folder(files, options.folder)
    here = [file for file in files if file.folder in ("", folder)]
    chosen = [file for file in here if file.part == "train"]
    bare = {file.task for file in here} - {file.task for file in chosen}
    if folder.startswith("en"):
        others = [file for file in files if file.folder.startswith("en") and file not in here]
        chosen += [file for file in others if file.task in bare and file.part != "test"]
    if options.tasks:
        chosen = [file for file in chosen if file.task in options.tasks]
    missing = sorted(set(options.tasks) - {file.task for file in chosen})
    if missing or not chosen:
        what = f"task {missing[0]}" if missing else "any task"
        raise DataError(f"there is no training file of {what} among the bAbI files. Give qa..._train.txt files too.")
    return sorted(chosen, key=lambda file: (file.task, file.place))


def measured_files(files: Sequence[BabiFile], options: BabiOptions) -> list[BabiFile]:
    """What is measured: the test files of a folder, or all of its files where none is a test."""
    folder = choose_folder(files, options.folder)
    here = [file for file in files if file.folder in ("", folder) and file.task in options.tasks]
    tests = [file for file in here if file.part == "test"]
    return tests or here


def read_texts(files: Sequence[BabiFile]) -> Iterator[tuple[BabiFile, str]]:
    """The text of each file, in their order.

    Raises:
        DataError: an archive or a file is damaged, cannot be read, or is not UTF-8.
    """
    packed = {home: _unpacked(home, files) for home in {file.home for file in files if file.member}}
    for file in files:
        data = packed[file.home][file.member] if file.member else b"".join(read_blocks(file.home))
        yield file, decode(data, Path(file.place), offset=0, line=1, final=True)[0]


def _file(home: Path, member: str, folder: str, name: str) -> BabiFile | None:
    if not (parts := NAME.fullmatch(name)):
        return None
    number, title, part = parts.groups()
    return BabiFile(home=home, member=member, folder=folder, task=int(number), title=title or "", part=part)


def _members(path: Path) -> list[str]:
    with _opened(path) as archive:
        return [member.name for member in archive if member.isfile()]


def _unpacked(path: Path, files: Sequence[BabiFile]) -> Mapping[str, bytes]:
    """The bytes of some files of an archive, read in its order: another one would unpack it again for each."""
    wanted = {file.member for file in files if file.home == path}
    with _opened(path) as archive:
        inside = ((member.name, archive.extractfile(member)) for member in archive if member.name in wanted)
        return {name: data.read() for name, data in inside if data is not None}


@contextmanager
def _opened(path: Path) -> Generator[tarfile.TarFile]:
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        reason = str(error).partition(":")[0]  # what follows is a line for each kind of compression
        raise DataError(f"{path} is no tar archive, or a damaged one ({reason}). {REMEDY}") from error
