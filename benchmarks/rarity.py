"""What favouring long dependencies buys and costs, at an equal budget of processor time.

    python -m benchmarks.rarity --cpu-minutes 2 --seeds 0 1 2 --jobs 2

A model is trained plainly, with a loss that favours long dependencies, on documents that are rich in them, and with
generated passages mixed in (docs/rarity.md). Each is measured on held-out novels, in bits per byte with the memory
carried and reset, and on generated passages in the text of those novels, whose keys no training has seen: bits and
accuracy of a code by how many bytes before it was told. Without memory a code costs 13.3 bits.

Runs are made in pieces (benchmarks.pieces). The budget becomes a number of updates before the run begins, by the speed
of this model with this loss and this reader, in processor time, over the updates of a trial.
"""

import json
import shutil
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from everlong import create_model
from everlong.data import ByteTokenizer, Passages, TokenStore
from everlong.data.passages import Passage
from everlong.evaluate import evaluate
from everlong.run import load
from everlong.train import TrainConfig, train
from everlong.train.distribution import World
from everlong.train.tasks import make_task

from .pieces import RESULTS, Training, comparison, fields, run_all
from .quality import DATA, TRIAL, stores

SIZES: dict[str, dict[str, Any]] = {
    "transformer-xl": {
        "d_model": 64,
        "n_layers": 2,
        "n_heads": 4,
        "d_ff": 256,
        "segment": 128,
        "mem_len": 256,
        "norm": "pre",
    },
    "gru": {"d_model": 192, "n_layers": 1},
}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "long": {"long_weight": 5.0},
    "favoured": {"favour": 4.0},
    "mixed": {"mix": [0.4, 0.1]},
}
"""What differs in training; its name stands after a plus behind that of the model."""
MODELS = [f"{model}+{way}" for model in SIZES for way in WAYS]

SETTINGS: dict[str, Any] = {"lr": 3e-3, "lanes": 8, "chunk": 128, "warmup": 100, "clip": 0.25, "weight_decay": 0.01}
HELD_OUT = 65_536
"""Tokens of the held-out novels that are read."""
LENGTHS, EACH = (64, 256, 1024, 2048), 32
"""Bytes of text in the passages that are measured, and how many passages of each length."""


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    cpu_minutes: float

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from others: a row that has it all is its result."""
        way = WAYS[self.model.partition("+")[2]]
        sizes = {"vocab_size": 256, **SIZES[self.architecture]}
        return {**self.shared, **self.chosen(sizes, {**SETTINGS, **way}, name="asked_settings")}

    @property
    def shared(self) -> dict[str, Any]:
        """What every row of its result file has in common with it."""
        return {"data": "english-novels", "cpu_minutes": self.cpu_minutes}


def updates_in(model: Any, store: TokenStore, config: TrainConfig, *, cpu_minutes: float) -> int:
    """How many updates this model makes in so much processor time, with the loss and the reader of these settings."""
    task = make_task(model.train(), store, None, config, ByteTokenizer())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    reader, memory = task.reader(World()), task.new_memory(config.lanes)
    spent = []
    for _ in range(TRIAL):
        began = time.process_time()
        summed, memory, others = task.objective([next(reader)], memory)
        (summed + sum(others.values())).backward()
        optimizer.step()
        optimizer.zero_grad()
        spent.append(time.process_time() - began)
    return int(60 * cpu_minutes / statistics.median(spent[2:]))


def held_out_passages(store: TokenStore, *, chunk: int) -> list[Passage]:
    """Passages of one fact each, the same for every run."""
    drawn = Passages(store, ByteTokenizer(), chunk=chunk, measured=True)
    return [
        drawn.draw(np.random.default_rng((n, length)), length=length, facts=1)
        for length in LENGTHS
        for n in range(EACH)
    ]


@torch.inference_mode()
def recall(model: Any, passages: list[Passage], *, chunk: int) -> dict[str, dict[str, float]]:
    """Bits and accuracy of a code, by the distance to where it was told, rounded up to a power of two.

    A code is right if each of its tokens is the likeliest one after the right ones before it.
    """
    found: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for at in range(0, len(passages), EACH):
        some = passages[at : at + EACH]
        tokens = pad_sequence([torch.from_numpy(passage.tokens) for passage in some], batch_first=True)
        sizes = torch.tensor([len(passage.tokens) for passage in some])
        memory, parts = None, []
        for first in range(0, tokens.shape[1], chunk):
            part = tokens[:, first : first + chunk]
            logits, memory = model(part, memory, lengths=(sizes - first).clamp(0, part.shape[1]))
            parts.append(logits)
        whole = torch.cat(parts, dim=1).log_softmax(dim=-1)
        for lane, passage in enumerate(some):
            (answer,) = passage.answers
            code = tokens[lane, answer.begin : answer.end]
            scores = whole[lane, answer.begin - 1 : answer.end - 1]
            bits = -float(scores.gather(1, code[:, None]).sum()) / np.log(2)
            right = bool((scores.argmax(dim=1) == code).all())
            found[1 << (answer.distance - 1).bit_length()].append((bits, right))
    return {
        str(distance): {
            "codes": len(codes),
            "bits": statistics.mean(bits for bits, _ in codes),
            "accuracy": statistics.mean(right for _, right in codes),
        }
        for distance, codes in sorted(found.items())
    }


def run(job: Job) -> dict[str, Any]:
    """Train, then measure the last weights on the held-out novels and passages."""
    out = job.folder / f"{job.model}-{job.seed}"
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(1)
    tokenizer = ByteTokenizer()
    data, held_out = stores("english-novels", job.folder)
    sizes = job.asked["config"]
    kept = {"seed": job.seed, "eval_every": 0, "save_every": 0, "keep": 1}
    config = TrainConfig(**{**kept, **job.asked["asked_settings"]})
    trial = create_model(job.architecture, **sizes)
    config = config.replace(steps=updates_in(trial, data, config, cpu_minutes=job.cpu_minutes))
    torch.manual_seed(job.seed)
    model = create_model(job.architecture, **sizes)
    began = time.process_time()
    train(model, data, None, config, out, tokenizer=tokenizer)
    spent = time.process_time() - began
    trained = load(out).model.eval()
    found = evaluate(trained, held_out, tokenizer, lanes=8, chunk=config.chunk, limit_tokens=HELD_OUT)
    return {
        **job.asked,
        "settings": json.loads(config.to_json()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_tokens": config.steps * config.lanes * config.chunk,
        "training_cpu_seconds": spent,
        "bits_per_byte": found.bits_per_byte,
        "bits_per_byte_reset": found.bits_per_byte_reset,
        "gain": found.gain,
        "recall": recall(trained, held_out_passages(held_out, chunk=config.chunk), chunk=config.chunk),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean over seeds, and the spread (largest minus smallest) of bits per byte; bits of a code and accuracy in %."""
    distances = sorted({int(distance) for row in rows for distance in row["recall"]})
    told = "  ".join(f"{f'code ≤{distance}':>11s}" for distance in distances)
    lines = [f"{'model':24s}  seeds  M bytes  {'carried':15s}  {'reset':15s}  {told}"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        cells = [f"{statistics.mean(row['training_tokens'] for row in mine) / 1e6:7.2f}"]
        for key in ("bits_per_byte", "bits_per_byte_reset"):
            values = [row[key] for row in mine]
            cells.append(f"{f'{statistics.mean(values):.4f} ±{max(values) - min(values):.4f}':15s}")
        for distance in distances:
            codes = [row["recall"][str(distance)] for row in mine]
            bits, right = (statistics.mean(code[key] for code in codes) for key in ("bits", "accuracy"))
            cells.append(f"{f'{bits:.2f} {100 * right:.0f}%':>11s}")
        lines.append(f"{model:24s}  {len(mine):5d}  {'  '.join(cells)}")
    return "\n".join(lines)


def main() -> None:
    """Run every model in every way with every seed that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=MODELS, known=MODELS)
    parser.add_argument("--cpu-minutes", type=float, default=2.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/rarity"))
    args = parser.parse_args()
    if not DATA.exists():
        sys.exit("../shared/data is not there: this benchmark reads its texts from it.")
    stores("english-novels", args.folder)
    jobs = [
        Job(
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
    result = RESULTS / f"{args.name or 'rarity'}.json"
    run_all(jobs, result, run=run, table=table, order=MODELS, processes=args.jobs)


if __name__ == "__main__":
    main()
