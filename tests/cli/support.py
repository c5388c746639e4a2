"""What the tests of the command line share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT = "Jim said the ship was at sea.\nThe parrot said: pieces of eight!\n" * 40
SIZES = ["d_model=16", "n_layers=1", "n_heads=2", "d_ff=16", "segment=8", "mem_len=8", "lr=0.01", "warmup=2"]
SMALL = [word for size in SIZES for word in ("--set", size)]


@dataclass(frozen=True)
class Ending:
    """How a command ended and what it left on the two streams."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object in the last line of standard output."""
        return json.loads(self.out.splitlines()[-1])

    def require_refusal(self, *words: str) -> None:
        """Exit code 2 and one sentence, or two, in one line with these words; nothing on standard output."""
        assert self.code == 2, self
        last = self.err.strip().splitlines()[-1]
        assert last.startswith("everlong: "), self
        assert last.endswith((".", "?", ")", '"')) or "pip install" in last or "iconv" in last, self
        assert "Traceback" not in self.err
        assert self.out == ""
        for word in words:
            assert word in last, (word, last)


CLI = Callable[..., Ending]


def train_encoder_words(book: Path, out: Path, *more: object) -> list[object]:
    """The command that trains a tiny encoder on a book in twelve steps."""
    size = ["--lanes", 2, "--chunk", 16, "--steps", 12, "--set", "save_every=6", "--set", "eval_tokens=64"]
    fields = ["d_model=16", "n_layers=1", "n_heads=2", "d_ff=16", "lr=0.01", "warmup=2"]
    return ["train", "bert", "--data", book, "--out", out, *size, *(w for f in fields for w in ("--set", f)), *more]


def train_words(book: Path, out: Path, *more: object) -> list[object]:
    """The command that trains a tiny model on a book in twelve steps."""
    size = ["--lanes", 2, "--chunk", 8, "--steps", 12, "--set", "save_every=6", "--set", "eval_tokens=64"]
    return ["train", "transformer-xl", "--data", book, "--out", out, *size, *SMALL, *more]
