"""What the command line may set, the same for every benchmark."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`rounds` turns of every contestant are counted, on `threads` threads each; a rehearsal is a contest of toys."""

    threads: int
    rounds: int
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    optimizer: str = "adamw"
    tokens: int = 1_000_000
    rehearse: bool = False
