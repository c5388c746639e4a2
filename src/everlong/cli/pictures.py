"""The pictures that a task is drawn from: read from the files that are named, or kept in the run's folder.

Without ``--valid``, the last fifth of the characters is held out, in the order of their names.
"""

from pathlib import Path

from everlong.cli.corpus import Source
from everlong.data.synthetic import Omniglot, Pictures, read_pictures
from everlong.errors import RunError

HELD_OUT = 5
"""One part in this many is held out."""


def with_pictures_of(rules: Omniglot, source: Source, out: Path, *, resume: bool) -> Omniglot:
    """The rules with the pictures that are named; a run that goes on has them already.

    Raises:
        ConfigError: Pillow is not installed.
        DataError: files cannot be read, or hold too little for an episode.
        RunError: the run that goes on was trained on others.
    """
    if not source.data:
        return rules
    pictures = read_pictures(source.data)
    parts = (pictures, read_pictures(source.valid)) if source.valid else held_out_of(pictures)
    if resume and [part.digest for part in parts] != [part.digest for part in rules.pictures]:
        raise RunError(
            f"{out} was trained on other pictures, or held out others. Leave out --data and --valid, or choose another "
            "folder."
        )
    return rules.with_pictures(*parts)


def held_out_of(pictures: Pictures) -> tuple[Pictures, Pictures]:
    """What is trained on, and what is held out."""
    n = len(pictures.names)
    return pictures.between(0, n - n // HELD_OUT), pictures.between(n - n // HELD_OUT, n)
