"""Who is measured against whom. The first of a group is the one the others are compared with."""

import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from . import peers
from .case import (
    ATTENTION,
    COMPRESSIVE,
    DOCUMENTS,
    HASHED,
    LONG_DOCUMENTS,
    LONG_PAIRS,
    MACHINE,
    PAIRS,
    PLAIN,
    RECURRENT,
    SPARSE,
    WINDOWED,
    Case,
)
from .harness import BenchmarkError, Worker, prove_right, started
from .peers import Peer
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class Group:
    """Contestants built to the same case; the label tells it from a group of the same people at another size."""

    case: Case
    peers: tuple[Peer, ...]
    label: str = ""


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

COMPRESSED = Group(
    case=COMPRESSIVE,
    peers=(peers.EVERLONG_COMPRESSIVE, peers.LUCI_COMP, peers.LUCI_COMP_NOGATE, peers.LABML_COMP),
)
BUCKETS = Group(
    case=HASHED,
    peers=(peers.EVERLONG_REFORMER, peers.EVERLONG_REFORMER_REVERSIBLE, peers.RP_REFORMER, peers.HF_REFORMER),
)
WINDOW = Group(case=WINDOWED, peers=(peers.EVERLONG_LONGFORMER, peers.LUCI_LOCAL, peers.HF_MISTRAL_SWA))
WINDOW_ENCODER = Group(
    case=WINDOWED, peers=(peers.EVERLONG_LONGFORMER_ENCODER, peers.LUCI_LOCAL_ENCODER, peers.HF_LONGFORMER)
)
PATTERNS = Group(case=SPARSE, peers=(peers.EVERLONG_SPARSE_STRIDED, peers.EVERLONG_SPARSE_FIXED))
MACHINES = Group(
    case=MACHINE,
    peers=(peers.EVERLONG_DNC, peers.PIP_DNC, peers.PLAIN_DNC, peers.EVERLONG_NTM, peers.EVERLONG_MANN),
)
CLASSIFIERS = Group(case=DOCUMENTS, peers=(peers.EVERLONG_BERT_CLASSIFIER, peers.HF_BERT_CLASSIFIER))
LONG_CLASSIFIERS = Group(
    case=LONG_DOCUMENTS,
    peers=(
        peers.EVERLONG_LONGFORMER_CLASSIFIER,
        peers.HF_LONGFORMER_CLASSIFIER,
        peers.EVERLONG_BERT_CLASSIFIER,
        peers.HF_BERT_CLASSIFIER,
    ),
)
WRITERS = Group(case=PAIRS, peers=(peers.EVERLONG_ENCODER_DECODER, peers.HF_BART))
LONG_WRITERS = Group(case=LONG_PAIRS, peers=(peers.EVERLONG_LONGFORMER_ENCODER_DECODER, peers.HF_LED))
XT = Group(case=ATTENTION, peers=(peers.XT_XL, peers.XT_XL_FLASH))
DENSE = Group(case=PLAIN, peers=(peers.TORCH_SDPA,))

STREAMING = (COMPRESSED, replace(BUCKETS, peers=(peers.EVERLONG_REFORMER, peers.HF_REFORMER)), WINDOW, PATTERNS)
"""Those that carry something from token to token: reformer-pytorch does not, and reversibility matters to training."""

EVERYBODY = (
    RECURRENT_ATTENTION,
    LSTM,
    GRU,
    CEILING,
    PEAK,
    COMPRESSED,
    BUCKETS,
    WINDOW,
    WINDOW_ENCODER,
    PATTERNS,
    MACHINES,
    CLASSIFIERS,
    LONG_CLASSIFIERS,
    WRITERS,
    LONG_WRITERS,
)


def entrants(groups: Sequence[Group], settings: Settings) -> list[Group]:
    """The groups without those left out by name and those whose environment is not built; empty groups are dropped."""
    known = dict.fromkeys(peer.name for group in EVERYBODY for peer in group.peers)
    for name in (*settings.only, *settings.without):
        if name not in known:
            raise BenchmarkError(f"no contestant is called {name!r}: there are {', '.join(known)}")
    present = []
    for group in groups:
        wanted = [peer for peer in group.peers if chosen(peer, settings)]
        for peer in wanted:
            if not peer.python.exists():
                print(f"{peer.name} is absent: benchmarks/peers/setup.sh builds its environment", file=sys.stderr)
        here = tuple(peer for peer in wanted if peer.python.exists())
        if here:
            present.append(replace(group, peers=here, case=group.case.small() if settings.rehearse else group.case))
    if not present:
        raise BenchmarkError("no contestant is left: name others with --only, or leave fewer out with --without")
    return present


def chosen(peer: Peer, settings: Settings) -> bool:
    """Whether the command line lets it take part."""
    return (not settings.only or peer.name in settings.only) and peer.name not in settings.without


def joined(group: Group, *others: Group) -> Group:
    """The people of several groups at the sizes of the first."""
    return replace(group, peers=group.peers + tuple(peer for other in others for peer in other.peers))


def labelled(group: Group, label: str, **sizes: int) -> Group:
    """The same people at another size, and a word for it."""
    return replace(group, case=replace(group.case, **sizes), label=label)


def ours(groups: Sequence[Group]) -> list[Group]:
    """The groups without their peers; empty groups are dropped."""
    alone = [replace(group, peers=tuple(peer for peer in group.peers if peer.is_ours)) for group in groups]
    return [group for group in alone if group.peers]


def without(groups: Sequence[Group], *peers: Peer) -> list[Group]:
    """The groups without those who cannot take part."""
    return [replace(group, peers=tuple(peer for peer in group.peers if peer not in peers)) for group in groups]


def sized(groups: Sequence[Group], **sizes: int | str) -> list[Group]:
    """The same contestants with other lanes, chunk or optimiser."""
    return [replace(group, case=replace(group.case, **sizes)) for group in groups]


def gate(groups: Sequence[Group], *, threads: int) -> dict[str, float]:
    """Prove ours right in every group; gives the worst disagreement of each."""
    return {
        f"{name} {group.label}".strip(): worst
        for group in groups
        for name, worst in prove_right(group.peers, group.case, threads=threads).items()
    }


@contextmanager
def all_started(groups: Sequence[Group], *, threads: int) -> Generator[list[list[Worker]], None, None]:
    """Everybody alive at once, group by group."""
    with ExitStack() as stack:
        yield [stack.enter_context(started(group.peers, group.case, threads=threads)) for group in groups]
