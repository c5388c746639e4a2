"""What every contestant of one benchmark is built to: the same sizes, the same lanes, the same chunk."""

from dataclasses import asdict, dataclass, replace
from typing import Self

SMALL = {
    "d_model": 32,
    "n_layers": 2,
    "d_ff": 64,
    "chunk": 16,
    "mem_len": 16,
    "segment": 16,
    "cmem_len": 8,
    "window": 8,
    "n_global": 2,
    "stride": 8,
    "summary": 2,
    "context": 32,
    "n_buckets": 4,
    "bucket_size": 8,
    "source": 24,
    "spread": 60,
    "beams": 2,
    "vocab_size": 256,
    "memory_slots": 8,
    "slot_size": 6,
    "n_reads": 2,
}
"""The most a toy has of each."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Sizes of the model and of one call. What a model has no use for is 0."""

    d_model: int
    n_layers: int
    n_heads: int = 0
    d_ff: int = 0
    vocab_size: int = 256

    mem_len: int = 0
    segment: int = 256
    cmem_len: int = 0
    compression_rate: int = 0
    """Memory of hidden states: so many tokens, and before them so many slots that stand for `compression_rate` each."""

    window: int = 0
    n_global: int = 0
    """Keys that a query sees, itself among them, and tokens at the beginning that all see."""

    stride: int = 0
    summary: int = 0
    context: int = 0
    """Local block, summary keys of a block in the fixed pattern; tokens of which anything is kept, with buckets too."""

    n_hashes: int = 0
    n_buckets: int = 0
    bucket_size: int = 0
    """Rounds of hashing, buckets of each, keys that are sorted together (ours: seen of one's own bucket)."""

    memory_slots: int = 0
    slot_size: int = 0
    n_reads: int = 0
    """Rows of a matrix beside the controller, numbers in each, vectors read in a step."""

    source: int = 0
    beams: int = 0
    """Tokens of the text that another is written from; hypotheses that are kept side by side meanwhile."""

    lanes: int = 1
    chunk: int = 256
    horizon: int = 0
    """How long a stream may become, for models with a table of positions; 0 where no stream outlives its chunk."""
    spread: int = 0
    """By how many percent of the longest text of a batch the shortest is shorter; lengths are spread evenly between."""
    optimizer: str = "adamw"

    @property
    def positions(self) -> int:
        """Rows of a table of positions."""
        return max(self.chunk, self.horizon)

    def lengths(self, longest: int) -> list[int]:
        """How many tokens the text of each lane has."""
        steps = 100 * max(1, self.lanes - 1)
        return [longest - longest * self.spread * lane // steps for lane in range(self.lanes)]

    @property
    def tokens(self) -> int:
        """Real tokens of one call, those of sources included."""
        return sum(self.lengths(self.chunk)) + sum(self.lengths(self.source))

    def small(self) -> Self:
        """A toy of the same kind, for the gate and for rehearsals."""
        return replace(self, **{name: min(getattr(self, name), most) for name, most in SMALL.items()})

    def to_json(self) -> dict[str, int | str]:
        """Give the fields as plain values, for the worker's command line and the results file."""
        return asdict(self)


ATTENTION = Case(d_model=256, n_layers=4, n_heads=4, d_ff=1024, mem_len=256, lanes=4, chunk=256)
RECURRENT = Case(d_model=512, n_layers=2, lanes=4, chunk=512)
"""The two models of the published figures: 3.3 M parameters of attention, 4.5 M of recurrence, 256 symbols."""

MACHINE = Case(d_model=256, n_layers=1, memory_slots=64, slot_size=32, n_reads=4, chunk=64)
"""A controller beside a matrix: an LSTM of 256, four heads that read."""

COMPRESSIVE = replace(ATTENTION, cmem_len=64, compression_rate=4)
PLAIN = replace(ATTENTION, mem_len=0)
HASHED = replace(PLAIN, n_hashes=4, n_buckets=64, bucket_size=64, context=2048, chunk=2048)
WINDOWED = replace(PLAIN, window=256, n_global=8, chunk=4096)
SPARSE = replace(PLAIN, stride=128, summary=8, context=4096, chunk=4096)
"""The same attention model with the other memories."""

DOCUMENTS = replace(PLAIN, vocab_size=30_522, lanes=8, chunk=512, spread=75)
LONG_DOCUMENTS = replace(DOCUMENTS, lanes=2, chunk=4096, window=256, n_global=1)
"""Whole texts of different lengths, over a vocabulary of BERT's size."""

PAIRS = replace(DOCUMENTS, chunk=64, source=256)
LONG_PAIRS = replace(PAIRS, lanes=2, source=4096, window=256, n_global=1)
"""A text to write from another."""
