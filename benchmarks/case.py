"""What every contestant of one benchmark is built to: the same sizes, the same lanes, the same chunk."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """Sizes of the model and of one call. Widths a recurrent model has no use for are 0."""

    d_model: int
    n_layers: int
    n_heads: int = 0
    d_ff: int = 0
    mem_len: int = 0
    segment: int = 256
    vocab_size: int = 256
    lanes: int = 1
    chunk: int = 256
    optimizer: str = "adamw"

    def to_json(self) -> dict[str, int | str]:
        """Give the fields as plain values, for the worker's command line and the results file."""
        return asdict(self)


ATTENTION = Case(d_model=256, n_layers=4, n_heads=4, d_ff=1024, mem_len=256, lanes=4, chunk=256)
RECURRENT = Case(d_model=512, n_layers=2, lanes=4, chunk=512)
"""The two models of the published figures: 3.3 M parameters of attention, 4.5 M of recurrence, 256 symbols."""
