"""Recall at an equal budget of processor time: how many answers are right, beside the bytes that a memory takes.

    python -m benchmarks.recall --sizes 64,4 128,8 256,16 --cpu-minutes 3 --seeds 0 1 2 --rules symbols=256

Every causal architecture learns multi-query recall at `d_model` 64, or with --task another task of tokens, a run for
each of the sizes; the numbers of a size are length and pairs, or whatever the task draws by. The budget becomes a
number of updates before a run begins, by its own speed over a trial, so all models have the same time and not the same
sequences. The last weights are measured at the task's trials, the training's own size and longer ones, on sequences
that were not trained on. Runs are made in pieces (benchmarks.pieces), and one that was interrupted goes on from its
last checkpoint.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from everlong import create_model
from everlong.checkpoint import list_checkpoints
from everlong.data.synthetic import RULES, TokenRules, generator
from everlong.errors import ConfigError
from everlong.evaluate.episodes import evaluate_episodes
from everlong.models.base import AnyLanguageModel
from everlong.run import load
from everlong.train import TrainConfig, train
from everlong.train.distribution import World
from everlong.train.folder import training_of
from everlong.train.state import TrainingState
from everlong.train.tasks import make_task
from everlong.wording import bytes_text

from .pieces import RESULTS, Training, comparison, fields, run_all, updates_in

RECURRENT: dict[str, Any] = {"d_model": 64, "n_layers": 2}
LAYERS: dict[str, Any] = RECURRENT | {"n_heads": 1, "d_ff": 128}
MACHINE: dict[str, Any] = {"d_model": 64, "n_layers": 1, "memory_slots": 64, "slot_size": 32}
SIZES: dict[str, dict[str, Any]] = {
    "gru": RECURRENT,
    "lstm": RECURRENT,
    "transformer": LAYERS | {"context": 256},
    "transformer+window": LAYERS | {"context": 32},
    "transformer-xl": LAYERS | {"segment": 64, "mem_len": 192, "norm": "pre"},
    "compressive-transformer": LAYERS
    | {"segment": 32, "mem_len": 32, "cmem_len": 48, "compression_rate": 4, "norm": "pre"},
    "longformer": LAYERS | {"window": 64, "n_global": 4},
    "sparse-transformer": LAYERS | {"stride": 16, "context": 256, "summary": 4},
    "reformer": LAYERS
    | {"window": 32, "n_hashes": 4, "n_buckets": 16, "bucket_size": 16, "context": 256, "reversible": False},
    "hierarchical-transformer": LAYERS | {"segment": 16, "n_paragraphs": 16},
    "ntm": MACHINE,
    "dnc": MACHINE | {"n_reads": 2},
    "mann": MACHINE | {"n_reads": 2},
}
"""Sizes of a model, by its name and, after a plus, what it differs in from the model of that name."""

SETTINGS: dict[str, Any] = {"lr": 5e-4, "lanes": 64, "warmup": 100, "clip": 1.0, "weight_decay": 0.1}
TRIAL, PIECES = 12, 4
"""Updates from whose time the speed is taken, after two more, and how many checkpoints a run has."""
SEQUENCES = 200
"""Sequences of each size that are measured."""


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    rules: TokenRules
    cpu_minutes: float

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from others: a row that has it all is its result."""
        return {**self.shared, **self.chosen({**self.rules.model_sizes, **SIZES[self.model]}, SETTINGS)}

    @property
    def shared(self) -> dict[str, Any]:
        """What every row of its result file has in common with it."""
        return {
            "task": self.rules.name,
            "rules": self.rules.model_dump(mode="json"),
            "cpu_minutes": self.cpu_minutes,
        }


def rules_of(task: str, size: str, changes: dict[str, Any]) -> TokenRules:
    """The rules of a task at a size: numbers in the order in which the task draws by them; none for its own."""
    kind = cast("type[TokenRules]", RULES[task])
    names = kind().draw_sizes(generator(0))
    numbers = [int(number) if number.isdecimal() else -1 for number in size.split(",") if number]
    if len(numbers) not in (0, len(names)) or -1 in numbers:
        raise ConfigError(f"{size} is no size of {task}. Give {','.join(names)}.")
    return kind(**{**changes, **dict(zip(names, numbers, strict=False))})


def new_model(job: Job) -> AnyLanguageModel:
    """The model; the seed decides its weights."""
    torch.manual_seed(job.seed)
    return cast("AnyLanguageModel", create_model(job.architecture, **job.asked["config"]))


def config_of(job: Job) -> TrainConfig:
    """The settings, with as many updates as this model makes in its time."""
    kept: dict[str, Any] = {"task": job.rules.name, "seed": job.seed, "eval_every": 0, "keep": 1, "steps": 1}
    config = TrainConfig.parse({**kept, **job.asked["settings"]})
    with torch.random.fork_rng(devices=[]):
        state = TrainingState(make_task(new_model(job), job.rules, None, config, None), config, World())
        steps = updates_in(state, cpu_minutes=job.cpu_minutes, trial=TRIAL)
    return config.replace(steps=steps, save_every=-(-steps // PIECES))


def run(job: Job) -> dict[str, Any]:
    """Train, or go on, then measure the last weights at every trial."""
    torch.set_num_threads(1)
    out = job.folder / f"{job.model}-{job.seed}"
    before = bool(list_checkpoints(out))
    config = training_of(out).replace(**job.asked["settings"]) if before else config_of(job)
    began = time.process_time()
    result = train(new_model(job), job.rules, None, config, out, resume=before)
    spent = time.process_time() - began
    model = load(out).language_model
    found = evaluate_episodes(model, job.rules, trials=job.rules.trials(), sequences=SEQUENCES, lanes=20)
    usual = next(trial for trial in found if trial.sizes == job.rules.largest)
    return {
        **job.asked,
        "parameters": sum(p.numel() for p in model.parameters()),
        "memory_bytes": model.init_memory(1).nbytes,
        "updates": result.step,
        "sequences_seen": result.step * config.lanes,
        "cpu_seconds_since_the_last_start": spent,
        "accuracy": 1 - usual.wrong,
        "trials": [trial.to_dict() for trial in found],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Right answers in per cent at every trial, by the bytes of a memory: mean and spread (largest minus smallest)."""
    sizes = [trial["sizes"] for trial in rows[0]["trials"]]
    heads = [" ".join(str(number) for number in size.values()) for size in sizes]
    lines = [f"{'model':24s}  {'memory':>9s}  seeds  sequences  " + "  ".join(f"{head:11s}" for head in heads)]
    for model in dict.fromkeys(row["model"] for row in sorted(rows, key=lambda row: row["memory_bytes"])):
        mine = [row for row in rows if row["model"] == model]
        right = [[100 - 100 * row["trials"][n]["wrong_answers"] for row in mine] for n in range(len(sizes))]
        figures = [f"{statistics.mean(values):.1f} ±{max(values) - min(values):.1f}" for values in right]
        seen = statistics.mean(row["sequences_seen"] for row in mine)
        lines.append(
            f"{model:24s}  {bytes_text(mine[0]['memory_bytes']):>9s}  {len(mine):5d}  {seen:>9,.0f}  "
            + "  ".join(f"{figure:11s}" for figure in figures)
        )
    return "\n".join(lines)


def main() -> None:
    """Run every model with every seed at every size that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=list(SIZES), known=SIZES)
    tasks = [name for name, rules in RULES.items() if issubclass(rules, TokenRules)]
    parser.add_argument("--task", default="multi-query-recall", choices=tasks)
    parser.add_argument(
        "--sizes", nargs="+", default=[""], metavar="N,N", help="a run for each; the task's own, if none"
    )
    parser.add_argument(
        "--rules", nargs="*", default=[], metavar="KEY=VALUE", help="fields of the task, as JSON values"
    )
    parser.add_argument("--cpu-minutes", type=float, default=3.0, help="for the updates of each run")
    parser.add_argument("--folder", type=Path, default=Path("runs/recall"))
    args = parser.parse_args()
    try:
        tried = {size: rules_of(args.task, size, fields(args.rules)) for size in args.sizes}
    except ConfigError as error:
        parser.error(str(error))
    results: list[Path] = []
    for size, rules in tried.items():
        name = "-".join([args.name or f"recall-{args.task}", *size.split(",")]).removesuffix("-")
        jobs = [
            Job(
                rules=rules,
                model=model,
                seed=seed,
                cpu_minutes=args.cpu_minutes,
                folder=args.folder / f"{name}-{args.cpu_minutes:g}",
                overrides=fields(args.set),
                settings=fields(args.train),
            )
            for seed in args.seeds
            for model in args.models
        ]
        results.append(RESULTS / f"{name}.json")
        run_all(jobs, results[-1], run=run, table=table, order=SIZES, processes=args.jobs)
    for result in results:
        print(f"\n{result.stem}\n{table(json.loads(result.read_text())['rows'])}", file=sys.stderr)


if __name__ == "__main__":
    main()
