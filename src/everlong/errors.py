"""Every error Everlong raises on purpose, as one tree.

    EverlongError
    ├── ConfigError      a model, field or setting that does not exist or does not fit      (ValueError)
    ├── DataError        text, corpora and task files that cannot be read or are too short  (ValueError)
    ├── ShapeError       tensors whose shape or type breaks the contract                    (ValueError)
    ├── MemoryMismatch   a memory that another model, or another configuration, made        (ValueError)
    ├── DamagedFile      a file that is truncated, altered or not what it claims to be      (ValueError)
    ├── RunError         a run that cannot go on: folder in use, full disk, other settings  (RuntimeError)
    │   └── Diverged     a run whose loss or gradient is no longer a finite number          (RuntimeError)
    └── ContractViolation  a model that breaks a law of the memory contract                 (AssertionError)

Each message says what was wrong and what to do instead. The command line prints it as one line and exits with 2.
"""

import difflib
from collections.abc import Iterable


class EverlongError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(EverlongError, ValueError):
    """A model, field or setting that does not exist or does not fit."""


class DataError(EverlongError, ValueError):
    """Text, a corpus or a task file that cannot be read or is too short."""


class ShapeError(EverlongError, ValueError):
    """A tensor whose shape or type breaks the contract."""


class MemoryMismatch(EverlongError, ValueError):  # noqa: N818 - a mismatch is what it is
    """A memory that another model, or another configuration, made."""


class DamagedFile(EverlongError, ValueError):  # noqa: N818 - names the thing that is wrong
    """A file that is truncated, altered or not what it claims to be."""


class RunError(EverlongError, RuntimeError):
    """A run that cannot go on: a folder in use, a full disk, other settings."""


class Diverged(RunError):  # noqa: N818 - says what happened
    """A run whose loss or gradient is no longer a finite number."""


class ContractViolation(EverlongError, AssertionError):  # noqa: N818 - a verdict, raised by everlong.testing
    """A model that breaks a law of the memory contract."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A sentence that suggests the nearest choice, or an empty string when none is near.

    >>> did_you_mean("transfomer", ["gru", "transformer"])
    " Did you mean 'transformer'?"
    """
    near = difflib.get_close_matches(word, list(choices), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
