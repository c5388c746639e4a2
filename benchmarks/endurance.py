"""Whether machines with a matrix last: many thousand updates without NaN, and a million steps of one stream.

    python -m benchmarks.endurance training --models ntm dnc mann --updates 50000
    python -m benchmarks.endurance stream --models ntm dnc mann --tokens 1000000

Training copies up to three vectors of 4 bits, one sequence an update, gradients clipped at 10; the largest norm is that
before clipping. A stream is random bytes, one lane, memory carried. Sizes are small, for it is the number of steps that
counts. A training that was interrupted goes on from its last checkpoint, and results that are there are kept.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn

from everlong import create_model
from everlong.data.synthetic import Copy, EpisodeReader
from everlong.evaluate.episodes import answer_losses, answers

from . import process_memory
from .machine import describe
from .reading import checkpoints

RESULTS = Path(__file__).parent / "results"
RULES = Copy(max_length=3, bits=4)
MACHINE: dict[str, Any] = {"d_model": 32, "n_layers": 1, "memory_slots": 16, "slot_size": 8}
SIZES: dict[str, dict[str, Any]] = {
    name: MACHINE | {"n_reads": 1 + (name == "mann")} for name in ("ntm", "dnc", "mann")
}
"""A MANN has two heads: with one it can only read what it writes."""

CLIP, RATE, CHECKPOINT, RECENT, CHUNK = 10.0, 1e-3, 2_500, 1_000, 1_000


def train(name: str, *, updates: int, folder: Path) -> dict[str, Any]:
    """Losses and norms of every update; ends at the first that is not finite."""
    torch.manual_seed(0)
    model = create_model(name, input_size=RULES.input_size, output_size=RULES.output_size, **SIZES[name])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    reader, saved = EpisodeReader(RULES, seed=0, lanes=1), folder / f"{name}.pt"
    norms, losses = list[float](), list[float]()
    if saved.exists():
        held = torch.load(saved)
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        norms, losses = held["norms"], held["losses"]
        reader.seek({"batch": len(losses)})
    folder.mkdir(parents=True, exist_ok=True)
    while len(losses) < updates and all(map(math.isfinite, (*losses[-1:], *norms[-1:]))):
        chunk = next(reader)
        loss = answer_losses(answers(model, chunk), chunk.targets).sum()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
        if len(losses) % CHECKPOINT == 0:
            held = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "norms": norms, "losses": losses}
            torch.save(held, saved.with_suffix(".new"))
            saved.with_suffix(".new").replace(saved)
    bits = [loss / math.log(2) for loss in losses]
    return {
        "model": name,
        "updates": len(losses),
        "finite": all(map(math.isfinite, (*losses, *norms, *(float(p.detach().sum()) for p in model.parameters())))),
        "largest_gradient_norm": max(norms),
        "updates_clipped": sum(norm > CLIP for norm in norms),
        "first_bits_per_sequence": sum(bits[:RECENT]) / len(bits[:RECENT]),
        "last_bits_per_sequence": sum(bits[-RECENT:]) / len(bits[-RECENT:]),
    }


@torch.inference_mode()
def stream(name: str, *, tokens: int) -> dict[str, Any]:
    """Time of a step, bytes of the memory and of the process at powers of ten; every chunk is looked at."""
    torch.manual_seed(0)
    model = create_model(name, **SIZES[name]).eval()
    memory, random = model.init_memory(1), torch.Generator().manual_seed(0)
    seconds, sizes, finite = list[float](), {memory.nbytes}, True
    places = list[dict[str, float]]()
    ends = checkpoints(tokens)
    for read in range(CHUNK, tokens + 1, CHUNK):
        text = torch.randint(256, (1, CHUNK), generator=random)
        began = time.perf_counter()
        logits, memory = model(text, memory)
        seconds.append((time.perf_counter() - began) / CHUNK)
        sizes.add(memory.nbytes)
        finite &= all(bool(part.isfinite().all()) for part in (logits, *memory.flatten().values()))
        if read in ends:
            step = 1e6 * median(seconds[-100:])
            places.append({"token": read, "us_per_step": step, "resident_mb": process_memory.now()})
    return {"model": name, "tokens": tokens, "finite": finite, "bytes_per_session": sorted(sizes), "places": places}


def main() -> None:
    """Run what has no result yet, one model after the other, and write each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["training", "stream"])
    parser.add_argument("--models", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--updates", type=int, default=50_000)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="a multiple of 1,000")
    parser.add_argument("--folder", type=Path, default=Path("runs/endurance"), help="where checkpoints lie")
    parser.add_argument("--name", help="of the results file (default: endurance-WHAT)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, Callable[[str], dict[str, Any]]] = {
        "training": lambda name: train(name, updates=args.updates, folder=args.folder),
        "stream": lambda name: stream(name, tokens=args.tokens),
    }
    result = RESULTS / f"{args.name or f'endurance-{args.what}'}.json"
    asked = {"training": args.updates, "stream": args.tokens}[args.what]
    rows = json.loads(result.read_text())["rows"] if result.exists() else []
    for name in args.models:
        if any((row["model"], row["asked"]) == (name, asked) for row in rows):
            continue
        row = runs[args.what](name) | {"asked": asked, "sizes": SIZES[name], "machine": describe(threads=1)}
        rows = [other for other in rows if other["model"] != name] + [row]
        result.parent.mkdir(exist_ok=True)
        result.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
        print(
            json.dumps({key: value for key, value in row.items() if key not in ("machine", "sizes")}), file=sys.stderr
        )


if __name__ == "__main__":
    main()
