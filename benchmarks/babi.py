"""The bAbI tasks, learned together: errors of a DNC and of an LSTM with more parameters.

    python -m benchmarks.babi --models dnc lstm --seeds 0 1 2 --stories 200000

The DNC has the sizes of Graves et al. (2016): a controller of 256, 256 rows of 64, four reads. The last weights are
measured on the test files; nothing is chosen by them. Runs are made in pieces (benchmarks.pieces), and one that was
interrupted goes on from its last checkpoint.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from everlong import create_model
from everlong.checkpoint import list_checkpoints
from everlong.data import ExampleStore, load_tokenizer
from everlong.data.babi import build_babi
from everlong.data.babi_files import BabiOptions
from everlong.evaluate.babi import evaluate_stories
from everlong.run import load
from everlong.train import TrainConfig, train

from .pieces import RESULTS, Training, comparison, fields, run_all

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "babi" / "babi_en-10k.tar.xz"

SIZES: dict[str, dict[str, Any]] = {
    "dnc": {"d_model": 256, "n_layers": 1, "memory_slots": 256, "slot_size": 64, "n_reads": 4},
    "lstm": {"d_model": 512, "n_layers": 1},
}
SETTINGS: dict[str, Any] = {"lr": 1e-3, "lanes": 16, "warmup": 100, "clip": 1.0, "weight_decay": 0.0, "save_every": 500}


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    tasks: tuple[int, ...]
    stories: int

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from others: a row that has it all is its result."""
        return {**self.shared, **self.chosen(SIZES[self.model], SETTINGS)}

    @property
    def shared(self) -> dict[str, Any]:
        """What every row of its result file has in common with it."""
        return {"asked_tasks": list(self.tasks), "stories": self.stories}

    def training(self) -> TrainConfig:
        """The settings of the run, whose updates together read the stories that were asked for."""
        settings = self.asked["settings"]
        steps = max(1, self.stories // settings["lanes"])
        return TrainConfig(task="babi", seed=self.seed, steps=steps, keep=1, **settings)


def prepare(data: Path, tasks: tuple[int, ...], folder: Path) -> None:
    """Make the stores of some tasks, once."""
    if not (folder / "train").exists():
        places = {"train": folder / "train", "held_out": folder / "test"}
        build_babi([data], [], BabiOptions(tasks=tasks), **places).save(folder)


def run(job: Job) -> dict[str, Any]:
    """Train, or go on, then measure the last weights on every test story."""
    torch.set_num_threads(1)
    out, tokenizer = job.folder / f"{job.model}-{job.seed}", load_tokenizer(job.folder)
    data, test = (ExampleStore.open(job.folder / name) for name in ("train", "test"))
    torch.manual_seed(job.seed)
    model = create_model(job.model, vocab_size=tokenizer.vocab_size, **job.asked["config"])
    began = time.process_time()
    train(model, data, None, job.training(), out, tokenizer=tokenizer, resume=bool(list_checkpoints(out)))
    spent = time.process_time() - began
    found = evaluate_stories(load(out).language_model, test, lanes=20)
    return {
        **job.asked,
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds_since_the_last_start": spent,
        **found.to_dict(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and spread (largest minus smallest) over seeds: error over tasks, and how many of them failed."""
    lines = [f"{'model':6s}  seeds  parameters  mean error, %     failed tasks"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        told = [
            f"{statistics.mean(values):.2f} ±{max(values) - min(values):.2f}"
            for values in ([100 * row["mean_error"] for row in mine], [row["n_failed"] for row in mine])
        ]
        failed = f"{told[1]} of {len(mine[0]['tasks'])}"
        lines.append(f"{model:6s}  {len(mine):5d}  {mine[0]['parameters']:>10,}  {told[0]:16s}  {failed}")
    return "\n".join(lines)


def main() -> None:
    """Run every model with every seed that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=["dnc", "lstm"], known=SIZES)
    parser.add_argument("--data", type=Path, default=DATA, help="archive or folder of the tasks")
    parser.add_argument("--tasks", nargs="*", type=int, default=[], help="all twenty, unless given")
    parser.add_argument("--stories", type=int, default=200_000, help="how many each run reads")
    parser.add_argument("--folder", type=Path, default=Path("runs/babi"))
    args = parser.parse_args()
    folder = args.folder / args.name
    prepare(args.data, tuple(args.tasks), folder)
    jobs = [
        Job(
            tasks=tuple(args.tasks),
            model=model,
            seed=seed,
            stories=args.stories,
            folder=folder,
            overrides=fields(args.set),
            settings=fields(args.train),
        )
        for seed in args.seeds
        for model in args.models
    ]
    run_all(jobs, RESULTS / f"{args.name or 'babi'}.json", run=run, table=table, order=SIZES, processes=args.jobs)


if __name__ == "__main__":
    main()
