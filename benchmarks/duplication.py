"""Reformer's duplication task (Kitaev et al., 2020, section 5): how many rounds of hashing it takes to find a twin.

    python -m benchmarks.duplication --seeds 0 1 2

A text is ``0 w 0 w``, `w` random symbols 1 to 127, and the model writes the second half. One layer does it, whose
queries are keys as well, with a learned vector for each place. It is trained with 4 rounds of hashing and then asked
with 8, 4, 2 and 1, whose rotations begin with those it knows; the paper's figures are 100, 99.9, 99.4 and 91.9%.
"""

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from everlong import create_model
from everlong.shapes import IGNORE

from .machine import describe

RESULT = Path(__file__).parent / "results" / "duplication.json"
SYMBOLS = 128
HASHES = (8, 4, 2, 1)
TRAINED_WITH = 4
LANES, RATE, WARMUP = 16, 1e-3, 100


def texts(lanes: int, *, half: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Texts of two halves, and the targets that the first half decides."""
    word = torch.randint(1, SYMBOLS, (lanes, half - 1), generator=rng)
    tokens = torch.nn.functional.pad(word, (1, 0)).repeat(1, 2)
    targets = tokens.roll(-1, dims=1)
    targets[:, : half - 1] = targets[:, -1] = IGNORE
    return tokens[:, :-1], targets[:, :-1]


def run(seed: int, half: int, steps: int) -> dict[str, Any]:
    """Train one model; accuracy by rounds of hashing."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    config = {
        "vocab_size": SYMBOLS,
        "d_model": 256,
        "n_layers": 1,
        "n_heads": 4,
        "d_ff": 512,
        "layers": ("lsh",),
        "positions": "axial",
        "axial_shape": (2 * half, 1),
        "axial_widths": (255, 1),
        "n_hashes": TRAINED_WITH,
        "n_buckets": max(2, half // 16),
        "bucket_size": 32,
        "context": 2 * half,
        "reversible": False,
        "hash_seed": seed,
    }
    model = create_model("reformer", **config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    began = time.process_time()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP)
        tokens, targets = texts(LANES, half=half, rng=rng)
        nats, _, _ = model.token_losses(tokens, targets)
        loss = nats.sum() / (targets != IGNORE).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    spent = time.process_time() - began
    tokens, targets = texts(256, half=half, rng=rng)
    asked = targets != IGNORE
    accuracy = dict[str, float]()
    with torch.inference_mode():
        for n in HASHES:
            logits, _ = model.with_config(n_hashes=n).eval()(tokens)
            accuracy[str(n)] = 100 * float((logits.argmax(dim=-1) == targets)[asked].double().mean())
    return {"seed": seed, "config": config, "steps": steps, "training_cpu_seconds": spent, "accuracy": accuracy}


def table(rows: list[dict[str, Any]]) -> str:
    """Per cent right in the mean over seeds, and the worst of them."""
    lines = ["| rounds of hashing | mean | worst |", "| --- | --- | --- |"]
    for n in HASHES:
        values = [row["accuracy"][str(n)] for row in rows]
        lines.append(f"| {n} | {statistics.mean(values):.1f} | {min(values):.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Run every seed, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--half", type=int, default=128, help="symbols of a half, its zero included")
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        rows = [job.result() for job in [pool.submit(run, seed, args.half, args.steps) for seed in args.seeds]]
    RESULT.write_text(
        json.dumps({"command": sys.argv[1:], "machine": describe(threads=1), "rows": rows}, indent=1) + "\n"
    )
    print(table(rows))


if __name__ == "__main__":
    main()
