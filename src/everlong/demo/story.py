"""A story written on from a memory, and written again from the memory's file in a new process."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

from everlong.errors import RunError
from everlong.generate import Sampler
from everlong.run import Run

SAMPLER = Sampler(temperature=0.7, top_p=0.95)
SEED = 1883
LENGTH = 600
"""Tokens of the story."""


@final
@dataclass(frozen=True, kw_only=True)
class Story:
    """What was read, what was written after it, and what a new process wrote from the saved memory."""

    read: str
    written: str
    written_again: str
    tokens_read: int
    session_bytes: int
    file_bytes: int
    tokens_per_second: float
    restart_seconds: float
    """Time in which the new process started, loaded the memory and wrote the story."""

    @property
    def same(self) -> bool:
        """Whether both continuations are equal, character by character."""
        return self.written == self.written_again


def write_story(run: Run, text: str, memory: Path, *, threads: int) -> Story:
    """Read a text, keep the memory in a file, write on, and have a new process write on from the file.

    Raises:
        RunError: the new process failed, or the disk is full.
    """
    session = run.session()
    session.read(text)
    session.save(memory)
    tokens_read, began = session.tokens_read, time.perf_counter()
    written = session.write(max_new_tokens=LENGTH, sampler=SAMPLER, seed=SEED)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    again = write_in_new_process(run.folder, memory, threads=threads)
    return Story(
        read=text,
        written=written,
        written_again=again,
        tokens_read=tokens_read,
        session_bytes=session.nbytes,
        file_bytes=memory.stat().st_size,
        tokens_per_second=LENGTH / seconds,
        restart_seconds=time.perf_counter() - began,
    )


def write_in_new_process(run: Path, memory: Path, *, threads: int) -> str:
    """What ``everlong generate`` writes from this memory, with the story's settings.

    Raises:
        RunError: it ended with an error.
    """
    settings = {
        "--memory": memory,
        "--max-new-tokens": LENGTH,
        "--temperature": SAMPLER.temperature,
        "--top-p": SAMPLER.top_p,
        "--seed": SEED,
        "--threads": threads,
    }
    words = [str(word) for pair in settings.items() for word in pair]
    command = [sys.executable, "-m", "everlong", "generate", str(run), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise RunError(f"the new process failed: {done.stderr.strip()} Run it yourself: {' '.join(command)}")
    return json.loads(done.stdout.splitlines()[-1])["text"]
