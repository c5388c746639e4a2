"""Who is measured against whom. The first of a group is the one the others are compared with."""

import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from . import peers
from .case import ATTENTION, RECURRENT, Case
from .harness import BenchmarkError, Worker, prove_right, started
from .peers import Peer


@dataclass(frozen=True, kw_only=True)
class Group:
    """Contestants built to the same case."""

    case: Case
    peers: tuple[Peer, ...]


RECURRENT_ATTENTION = Group(
    case=ATTENTION,
    peers=(
        peers.EVERLONG_XL,
        peers.EVERLONG_TRANSFORMER,
        peers.HF_TRANSFOXL,
        peers.XT_XL,
        peers.XT_XL_FLASH,
        peers.LABML_XL,
    ),
)
LSTM = Group(case=RECURRENT, peers=(peers.EVERLONG_LSTM, peers.TORCH_LSTM))
GRU = Group(case=RECURRENT, peers=(peers.EVERLONG_GRU, peers.TORCH_GRU))
CEILING = Group(case=ATTENTION, peers=(peers.TORCH_SDPA,))
PEAK = Group(case=ATTENTION, peers=(peers.SGEMM,))

EVERYBODY = (RECURRENT_ATTENTION, LSTM, GRU, CEILING, PEAK)


def entrants(groups: Sequence[Group], *, only: Sequence[str], without: Sequence[str]) -> list[Group]:
    """The groups without those left out by name and those whose environment is not built; empty groups are dropped."""
    known = [peer.name for group in EVERYBODY for peer in group.peers]
    for name in (*only, *without):
        if name not in known:
            raise BenchmarkError(f"no contestant is called {name!r}: there are {', '.join(known)}")
    present = []
    for group in groups:
        wanted = [peer for peer in group.peers if (not only or peer.name in only) and peer.name not in without]
        for peer in wanted:
            if not peer.python.exists():
                print(f"{peer.name} is absent: benchmarks/peers/setup.sh builds its environment", file=sys.stderr)
        here = tuple(peer for peer in wanted if peer.python.exists())
        if here:
            present.append(replace(group, peers=here))
    if not present:
        raise BenchmarkError("no contestant is left: name others with --only, or leave fewer out with --without")
    return present


def sized(groups: Sequence[Group], **sizes: int | str) -> list[Group]:
    """The same contestants with other lanes, chunk or optimiser."""
    return [replace(group, case=replace(group.case, **sizes)) for group in groups]


def gate(groups: Sequence[Group], *, threads: int) -> dict[str, float]:
    """Prove ours right in every group; gives the worst disagreement of each."""
    return {
        name: worst for group in groups for name, worst in prove_right(group.peers, group.case, threads=threads).items()
    }


@contextmanager
def all_started(groups: Sequence[Group], *, threads: int) -> Generator[list[list[Worker]], None, None]:
    """Everybody alive at once, group by group."""
    with ExitStack() as stack:
        yield [stack.enter_context(started(group.peers, group.case, threads=threads)) for group in groups]
