"""One contestant in a process of its own: `python -m benchmarks.worker SPEC`, commands and answers as JSON lines.

Commands are `{"do": "train" | "backward" | "forward" | "read" | "decode" | "write", "count": n}`, answered with the
seconds of each of the n steps and the resident memory; and `{"do": "mark" | "recall", "name": ...}`. With `gate_only`
in its SPEC a worker proves the contestant right instead, on models of its own.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, TextIO

import torch

from . import process_memory
from .case import Case
from .contestant import Contestant
from .gate import worst_disagreement
from .texts import Writer

PACKAGES = (
    "torch",
    "everlong",
    "transformers",
    "x-transformers",
    "labml-nn",
    "reformer-pytorch",
    "local-attention",
    "compressive-transformer-pytorch",
    "dnc",
)


def main() -> None:
    """Build the contestant that the first argument describes and serve commands until standard input ends."""
    answers = take_standard_output()
    spec = json.loads(sys.argv[1])
    torch.set_num_threads(spec["threads"])
    build, case = find_builder(spec["build"]), Case(**spec["case"])
    if spec["gate_only"]:
        send(answers, {"disagreement": worst_disagreement(build, case)})
        return
    torch.manual_seed(0)
    contestant = build(case)
    send(answers, {"parameters": contestant.n_parameters, "versions": versions(), "loaded_mb": process_memory.now()})
    for line in sys.stdin:
        send(answers, obey(contestant, json.loads(line)))


def take_standard_output() -> TextIO:
    """Keep standard output for answers alone; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def find_builder(name: str) -> Callable[[Case], Contestant]:
    """Import `module:function` from benchmarks.peers."""
    module, function = name.split(":")
    return getattr(importlib.import_module(f"benchmarks.peers.{module}"), function)


def versions() -> dict[str, str]:
    """Versions of those of the packages under measurement that this environment has."""
    installed = {distribution.metadata["Name"]: distribution.version for distribution in metadata.distributions()}
    return {name: installed[name] for name in PACKAGES if name in installed}


def obey(contestant: Contestant, command: dict[str, Any]) -> dict[str, Any]:
    """Carry out one command."""
    match command["do"]:
        case "train":
            seconds = timed(contestant.train_step, command["count"])
        case "backward":
            seconds = timed(contestant.backward_chunk, command["count"])
        case "forward":
            seconds = timed(contestant.forward_chunk, command["count"])
        case "read":
            seconds = timed(contestant.read_chunk, command["count"])
        case "decode":
            seconds = timed(contestant.decode_token, command["count"])
        case "write" if isinstance(contestant, Writer):
            seconds = timed(contestant.write_text, command["count"])
        case "mark":
            seconds = timed(lambda: contestant.mark(command["name"]), 1)
        case "recall":
            seconds = timed(lambda: contestant.recall(command["name"]), 1)
        case unknown:
            raise ValueError(
                f"a worker does not know the command {unknown!r}: "
                "send train, backward, forward, read, decode, mark, recall or, to one that writes from a source, write"
            )
    return {"seconds": seconds, "now_mb": process_memory.now(), "peak_mb": process_memory.peak()}


def timed(step: Callable[[], None], count: int) -> list[float]:
    """Seconds of each of `count` steps."""
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds


def send(answers: TextIO, answer: dict[str, Any]) -> None:
    """Write one JSON line."""
    answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
