"""Quality at an equal budget of processor time: bits per byte with the memory carried, reset and taken from elsewhere.

    python -m benchmarks.quality --data english-novels --cpu-minutes 30 --seeds 0 1 2 --jobs 2

Runs are made in pieces (benchmarks.pieces). The budget becomes a number of updates before the run begins, by the
model's own speed, in processor time, over the updates of a trial.
"""

import json
import lzma
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from everlong import create_model
from everlong.data import ByteTokenizer, Document, LaneReader, TokenStore
from everlong.evaluate import evaluate
from everlong.run import load
from everlong.train import TrainConfig, train

from .pieces import RESULTS, Training, comparison, fields, run_all

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARE, HELD_OUT = 20_000, 16
"""Characters of each held-out document that are read, its beginning, and how many documents."""

TRANSFORMER: dict[str, Any] = {"d_model": 128, "n_layers": 4, "n_heads": 4, "d_ff": 512}
SEGMENTS: dict[str, Any] = TRANSFORMER | {"segment": 128, "mem_len": 128, "norm": "pre"}
COMPRESSIVE: dict[str, Any] = SEGMENTS | {"cmem_len": 64, "compression_rate": 4}
MATRIX: dict[str, Any] = {"d_model": 256, "memory_slots": 64, "slot_size": 32, "n_reads": 4}
SPARSE: dict[str, Any] = TRANSFORMER | {"stride": 64, "context": 1024, "summary": 8}
SIZES: dict[str, dict[str, Any]] = {
    "transformer-xl": SEGMENTS,
    "transformer": TRANSFORMER | {"context": 256},
    "lstm": {"d_model": 256, "n_layers": 2},
    "gru": {"d_model": 256, "n_layers": 2},
    "hierarchical-transformer": TRANSFORMER,
    "ntm": MATRIX,
    "dnc": MATRIX,
    "mann": MATRIX,
    "compressive-transformer": COMPRESSIVE,
    "compressive-transformer+auto-encoding": COMPRESSIVE | {"reconstruction": "auto-encoding"},
    "compressive-transformer+dilated-conv": COMPRESSIVE | {"compression": "dilated-conv"},
    "compressive-transformer+max-pool": COMPRESSIVE | {"compression": "max-pool"},
    "compressive-transformer+mean-pool": COMPRESSIVE | {"compression": "mean-pool"},
    "compressive-transformer+most-used": COMPRESSIVE | {"compression": "most-used"},
    "longformer": TRANSFORMER | {"window": 256, "n_global": 4},
    "sparse-transformer": SPARSE,
    "sparse-transformer+strided": SPARSE | {"pattern": "strided"},
    "reformer": TRANSFORMER
    | {"window": 128, "n_hashes": 4, "n_buckets": 32, "bucket_size": 32, "context": 1024, "reversible": False},
}
"""Sizes of a model, by its name and, after a plus, what it differs in from the model of that name."""

SETTINGS: dict[str, Any] = {"lr": 3e-3, "lanes": 8, "chunk": 128, "warmup": 100, "clip": 0.25, "weight_decay": 0.01}
TRIAL = 12
"""Updates from whose time the speed is taken; the first two warm up."""


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    data: str
    cpu_minutes: float

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from others: a row that has it all is its result."""
        sizes = {"vocab_size": 256, **SIZES[self.model]}
        return {**self.shared, **self.chosen(sizes, SETTINGS, name="asked_settings")}

    @property
    def shared(self) -> dict[str, Any]:
        """What every row of its result file has in common with it."""
        return {"data": self.data, "cpu_minutes": self.cpu_minutes}


def documents(data: str, split: str) -> Iterator[Document]:
    """The documents of one split of a corpus under ../shared/data."""
    stem = DATA / data / split
    if (path := stem.with_suffix(".jsonl.xz")).exists():
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                record = json.loads(line)
                yield Document(name=str(record["id"]), pieces=[record["text"]])
        return
    with lzma.open(stem.with_suffix(".txt.xz"), "rt", encoding="utf-8") as file:
        lines: list[str] = []
        for line in file:
            if line.startswith(" = ") and not line.startswith(" = =") and lines:
                yield Document(name=lines[0].strip(), pieces=["".join(lines)])
                lines = []
            lines.append(line)
        yield Document(name=lines[0].strip(), pieces=["".join(lines)])


def beginnings(data: str, split: str) -> Iterator[Document]:
    """The first documents of a split, each cut to its first characters."""
    for document in islice(documents(data, split), HELD_OUT):
        yield Document(name=document.name, pieces=["".join(document.pieces)[:SHARE]])


def stores(data: str, folder: Path) -> tuple[TokenStore, TokenStore]:
    """Training and test tokens as bytes, built once."""
    made = []
    for name, texts in (("train", documents(data, "train")), ("test", beginnings(data, "test"))):
        place = folder / data / name
        made.append(TokenStore.open(place) if place.exists() else TokenStore.build(texts, ByteTokenizer(), place))
    return made[0], made[1]


def updates_in(model: Any, store: TokenStore, config: TrainConfig, *, cpu_minutes: float) -> int:
    """How many updates this model makes in so much processor time."""
    model = model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    reader, memory = LaneReader(store, lanes=config.lanes, chunk=config.chunk), None
    spent = []
    for _ in range(TRIAL):
        began = time.process_time()
        chunk = next(reader)
        losses, memory, others = model.token_losses(chunk.tokens, chunk.targets, memory, starts=chunk.starts)
        (losses.mean() + sum(others.values())).backward()
        optimizer.step()
        optimizer.zero_grad()
        memory = memory.detach()
        spent.append(time.process_time() - began)
    return int(60 * cpu_minutes / statistics.median(spent[2:]))


def run(job: Job) -> dict[str, Any]:
    """Train, then evaluate the last weights on the held-out text."""
    out = job.folder / job.data / f"{job.model}-{job.seed}"
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(1)
    tokenizer = ByteTokenizer()
    data, held_out = stores(job.data, job.folder)
    sizes = job.asked["config"]
    kept = {"seed": job.seed, "eval_every": 0, "save_every": 0, "keep": 1}
    config = TrainConfig(**{**kept, **job.asked["asked_settings"]})
    config = config.replace(
        steps=updates_in(create_model(job.architecture, **sizes), data, config, cpu_minutes=job.cpu_minutes)
    )
    torch.manual_seed(job.seed)
    model = create_model(job.architecture, **sizes)
    began = time.process_time()
    train(model, data, None, config, out, tokenizer=tokenizer)
    spent = time.process_time() - began
    found = evaluate(load(out).model, held_out, tokenizer, lanes=8, chunk=config.chunk)
    return {
        **job.asked,
        "settings": json.loads(config.to_json()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_tokens": config.steps * config.lanes * config.chunk,
        "training_cpu_seconds": spent,
        **{key: value for key, value in found.to_dict().items() if key != "by_document"},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and spread (largest minus smallest) over seeds, in bits per byte."""
    heads = ("carried", "reset", "other", "gain")
    lines = [f"{'model':37s}  seeds  CPU min  M tokens  {'  '.join(f'{head:15s}' for head in heads)}"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]

        def spread(key: str, mine: list[dict[str, Any]] = mine) -> str:
            values = [row[key] for row in mine]
            return f"{statistics.mean(values):.4f} ±{max(values) - min(values):.4f}"

        minutes = statistics.mean(row["training_cpu_seconds"] for row in mine) / 60
        tokens = statistics.mean(row["training_tokens"] for row in mine) / 1e6
        figures = "  ".join(
            f"{spread(key):15s}" for key in ("bits_per_byte", "bits_per_byte_reset", "bits_per_byte_other", "gain")
        )
        lines.append(f"{model:37s}  {len(mine):5d}  {minutes:7.1f}  {tokens:8.2f}  {figures}")
    return "\n".join(lines)


def main() -> None:
    """Run every model with every seed that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=["transformer-xl", "transformer", "lstm"], known=SIZES)
    parser.add_argument("--data", default="english-novels", choices=("english-novels", "enwiki-long-2014"))
    parser.add_argument("--cpu-minutes", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"))
    args = parser.parse_args()
    if not DATA.exists():
        sys.exit("../shared/data is not there: this benchmark reads its texts from it.")
    stores(args.data, args.folder)
    jobs = [
        Job(
            data=args.data,
            model=model,
            seed=seed,
            cpu_minutes=args.cpu_minutes,
            folder=args.folder,
            overrides=fields(args.set),
            settings=fields(args.train),
        )
        for seed in args.seeds
        for model in args.models
    ]
    result = RESULTS / f"{args.name or f'quality-{args.data}'}.json"
    run_all(jobs, result, run=run, table=table, order=SIZES, processes=args.jobs)


if __name__ == "__main__":
    main()
