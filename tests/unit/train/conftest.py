import json
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.models import create_model
from everlong.models.base import Model
from everlong.train import Progress, Result, TrainConfig, train

SIZES: dict[str, dict[str, Any]] = {
    "bert": {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 16, "dropout": 0.1},
    "compressive-transformer": {
        "d_model": 8,
        "n_layers": 2,
        "n_heads": 2,
        "d_ff": 16,
        "segment": 8,
        "mem_len": 8,
        "cmem_len": 4,
        "compression_rate": 2,
    },
    "gru": {"d_model": 8, "n_layers": 1, "dropout": 0.1},
    "longformer": {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 16, "window": 5, "n_global": 2},
    "longformer-encoder": {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 16, "dropout": 0.1, "window": 4},
    "lstm": {"d_model": 8, "n_layers": 1},
    "dnc": {"d_model": 8, "n_layers": 1, "memory_slots": 5, "slot_size": 3, "n_reads": 2, "dropout": 0.1},
    "mann": {"d_model": 8, "n_layers": 1, "memory_slots": 5, "slot_size": 3, "n_reads": 2, "dropout": 0.1},
    "ntm": {"d_model": 8, "n_layers": 2, "memory_slots": 5, "slot_size": 3, "n_reads": 2, "dropout": 0.1},
    "reformer": {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 16, "dropout": 0.1, "n_buckets": 4, "context": 16},
    "reformer-encoder": {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 16, "dropout": 0.1, "n_buckets": 4},
    "sparse-transformer": {
        "d_model": 8,
        "n_layers": 2,
        "n_heads": 2,
        "d_ff": 16,
        "stride": 4,
        "context": 16,
        "summary": 1,
        "sub_blocks": 2,
    },
    "transformer": {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 16, "context": 8},
    "transformer-xl": {
        "d_model": 8,
        "n_layers": 2,
        "n_heads": 2,
        "d_ff": 16,
        "segment": 4,
        "mem_len": 8,
        "dropout": 0.1,
    },
}
OWN: dict[str, dict[str, Any]] = {
    "bert": {"task": "mlm", "mask_unit": "word"},
    "longformer-encoder": {"task": "mlm"},
    "reformer-encoder": {"task": "mlm"},
}
"""Settings that a model cannot do without."""
VARYING = ("seconds", "tokens_per_second")


def tiny(architecture: str = "gru", *, seed: int = 0, **fields: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return create_model(architecture, **SIZES[architecture] | fields)


def settings(**changes: Any) -> TrainConfig:
    fields = {"steps": 4, "lanes": 2, "chunk": 8, "warmup": 2, "eval_every": 0, "save_every": 0, "eval_tokens": 64}
    return TrainConfig(**fields | changes)


def figures(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics file, without those that time decides."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in VARYING} for line in lines]


def steps_kept(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").iterdir())


class Bench:
    """A corpus, a held-out text and a folder for runs."""

    def __init__(self, folder: Path, data: TokenStore, valid: TokenStore) -> None:
        self.folder, self.data, self.valid, self.tokenizer = folder, data, valid, ByteTokenizer()

    def train(
        self,
        name: str,
        config: TrainConfig | None = None,
        *,
        model: Model | None = None,
        resume: bool = False,
        measured: bool = False,
        report: Any = None,
    ) -> Result:
        progress: list[Progress] = []
        return train(
            model or tiny(),
            self.data,
            self.valid if measured else None,
            config or settings(),
            self.folder / name,
            tokenizer=self.tokenizer,
            resume=resume,
            report=report or progress.append,
        )


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[TokenStore, TokenStore]:
    folder, tokenizer = tmp_path_factory.mktemp("corpus"), ByteTokenizer()
    tale = "".join(f"The {n}th of the ships came home in winter; 船{n}回来了。\n" for n in range(40))
    data = TokenStore.build([Document("a", tale), Document("b", tale[::-1])], tokenizer, folder / "data")
    held_out = [Document("c", tale[500:560]), Document("d", tale[900:930])]
    return data, TokenStore.build(held_out, tokenizer, folder / "valid")


@pytest.fixture
def bench(tmp_path: Path, stores: tuple[TokenStore, TokenStore]) -> Bench:
    return Bench(tmp_path, *stores)
