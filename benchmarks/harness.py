"""Starts the contestants, lets them take turns and keeps their answers; imports no torch, so this process is small."""

import json
import os
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from .case import Case
from .peers import ROOT, Peer
from .turns import Turns

TOLERANCE = 1e-5
"""The largest disagreement the gate allows, relative to the largest logit (or to 1, if that is more), in float32."""

SETTLE_SECONDS = 0.01
"""Pause between turns, in which the last contestant's idle threads stop spinning."""


class BenchmarkError(RuntimeError):
    """A benchmark that cannot be trusted or cannot go on; the message says why and what to do."""


class Worker:
    """A contestant alive in a process of its own."""

    def __init__(self, peer: Peer, case: Case, *, threads: int, gate_only: bool = False) -> None:
        spec = {"build": peer.build, "case": case.to_json(), "threads": threads, "gate_only": gate_only}
        settings = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        self.peer = peer
        self.process = subprocess.Popen(
            [str(peer.python), "-m", "benchmarks.worker", json.dumps(spec)],
            cwd=ROOT,
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hello = self._answer()
        self.now_mb = self.peak_mb = self.hello.get("loaded_mb", 0.0)

    def ask(self, do: str, **fields: Any) -> list[float]:
        """Have a command carried out; gives the seconds of each step."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the missing answer says so below
            self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self.process.stdin.flush()
        answer = self._answer()
        self.now_mb, self.peak_mb = answer["now_mb"], answer["peak_mb"]
        return answer["seconds"]

    def close(self) -> None:
        """End the process, and wait for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        with suppress(BrokenPipeError):  # a command that the process did not live to read
            self.process.stdin.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise BenchmarkError(
                f"contestant {self.peer.name} ended with exit code {code} (its own message stands above): "
                "repair it, or leave it out with --without"
            )
        return json.loads(line)


def prove_right(peers: Sequence[Peer], case: Case, *, threads: int) -> dict[str, float]:
    """Run the gate on those of the peers that are ours; nothing is timed if one of them disagrees with itself."""
    disagreements = {}
    for peer in peers:
        if not peer.is_ours:
            continue
        worker = Worker(peer, case, threads=threads, gate_only=True)
        worker.close()
        worst = disagreements[peer.name] = worker.hello["disagreement"]
        if not worst <= TOLERANCE:
            raise BenchmarkError(
                f"{peer.name} disagrees with itself by {worst:.1e} when the stream is cut elsewhere or text is padded, "
                f"and {TOLERANCE:.0e} is allowed: no figure is taken of a wrong model; run the laws to find the cause"
            )
    return disagreements


@contextmanager
def started(peers: Sequence[Peer], case: Case, *, threads: int) -> Generator[list[Worker], None, None]:
    """All contestants alive at once, for as long as the block lasts."""
    with ExitStack() as stack:
        workers = []
        for peer in peers:
            worker = Worker(peer, case, threads=threads)
            stack.callback(worker.close)
            workers.append(worker)
        yield workers


def take_turns(workers: Sequence[Worker], do: str, *, rounds: int, count: int = 1, warmup: int = 1) -> list[Turns]:
    """A B C A B C ...: in each round every contestant takes `count` steps; the first `warmup` rounds do not count."""
    turns = [Turns(worker.peer.name) for worker in workers]
    for number in range(warmup + rounds):
        for worker, record in zip(workers, turns, strict=True):
            time.sleep(SETTLE_SECONDS)
            seconds = worker.ask(do, count=count)
            if number >= warmup:
                record.rounds.append(seconds)
    return turns
