"""Small stories with questions, in the format of the bAbI tasks, for tests."""

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

ONE = "1 Mary went home.\n2 Where is Mary? \thome\t1\n3 John went north.\n4 Where is John? \tnorth\t3\n"
TWO = "1 Mary took milk.\n2 What has she?\tmilk,nothing\t1\n1 John took nothing.\n2 What has he?\tnothing\n"


def moves(*, stories: int, seed: int, people: int = 2, steps: int = 4) -> str:
    """Stories like those of the first task: people go to places, and after each step it is asked where one is."""
    rng, lines = random.Random(seed), list[str]()
    names, places = ["Mary", "John", "Sandra"][:people], ["hallway", "garden", "office"]
    for _ in range(stories):
        where: dict[str, str] = {}
        count = 0
        for _ in range(steps):
            name, place = rng.choice(names), rng.choice(places)
            where[name] = place
            asked = rng.choice(sorted(where))
            lines += [f"{count + 1} {name} went to the {place}.", f"{count + 2} Where is {asked}? \t{where[asked]}\t1"]
            count += 2
    return "\n".join(lines) + "\n"


def archive(path: Path, files: Mapping[str, str | bytes], *, mode: str = "w:xz") -> Path:
    """A tar archive of files with these contents."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def folder(path: Path, files: Mapping[str, str]) -> Path:
    """A folder of files with these contents."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(content)
    return path
