"""Who takes part: each contestant's name, the environment it needs and what it stands for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import operations
from ..case import Case

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = {"own": Path(sys.executable), "hf": ROOT / ".peers/hf/bin/python", "xt": ROOT / ".peers/xt/bin/python"}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One contestant.

    `build` names `module:function` under benchmarks.peers; `step` counts the useful operations of a training step.
    """

    name: str
    build: str
    environment: str
    step: Callable[[Case], float]
    note: str

    @property
    def python(self) -> Path:
        """The interpreter that can import this contestant."""
        return ENVIRONMENTS[self.environment]

    @property
    def is_ours(self) -> bool:
        """Whether Everlong must prove this one right before it is timed."""
        return self.build.startswith("ours:")


EVERLONG_XL = Peer(
    name="everlong_xl",
    build="ours:transformer_xl",
    environment="own",
    step=operations.with_memory,
    note="transformer-xl",
)
EVERLONG_TRANSFORMER = Peer(
    name="everlong_transformer",
    build="ours:transformer",
    environment="own",
    step=operations.sliding_window,
    note="transformer, rotary, context = the memory's length, carried",
)
EVERLONG_LSTM = Peer(
    name="everlong_lstm", build="ours:lstm", environment="own", step=operations.lstm, note="lstm, state carried"
)
EVERLONG_GRU = Peer(
    name="everlong_gru", build="ours:gru", environment="own", step=operations.gru, note="gru, state carried"
)
TORCH_SDPA = Peer(
    name="torch_sdpa",
    build="torch_sdpa:build",
    environment="own",
    step=operations.without_memory,
    note="plain causal Transformer on SDPA, no memory: the practical ceiling",
)
TORCH_LSTM = Peer(
    name="torch_lstm", build="torch_rnn:lstm", environment="own", step=operations.lstm, note="bare torch.nn.LSTM"
)
TORCH_GRU = Peer(
    name="torch_gru", build="torch_rnn:gru", environment="own", step=operations.gru, note="bare torch.nn.GRU"
)
HF_TRANSFOXL = Peer(
    name="hf_transfoxl",
    build="hf_transfoxl:build",
    environment="hf",
    step=operations.with_memory,
    note="transformers 4.35.2 TransfoXL, the last version that runs",
)
XT_XL = Peer(
    name="xt_xl",
    build="x_transformers_xl:t5_bias",
    environment="xt",
    step=operations.with_memory,
    note="x-transformers, T5 relative bias, max_mem_len",
)
XT_XL_FLASH = Peer(
    name="xt_xl_flash",
    build="x_transformers_xl:rotary_flash",
    environment="xt",
    step=operations.with_memory,
    note="x-transformers, rotary positions on SDPA, max_mem_len",
)
LABML_XL = Peer(
    name="labml_xl",
    build="labml_xl:build",
    environment="xt",
    step=operations.with_memory,
    note="labml-nn, with a stub for its broken tracker and position tables cut to what is in reach",
)
SGEMM = Peer(
    name="sgemm",
    build="sgemm:build",
    environment="own",
    step=operations.matrix_product,
    note="square float32 matrix product: the peak that shares are taken of",
)
