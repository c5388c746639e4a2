"""Generated tasks: how soon a machine learns one, and whether it goes on at lengths that it never saw.

    python -m benchmarks.algorithms --task copy --models ntm dnc lstm --seeds 0 1 2 --sequences 20000
    python -m benchmarks.algorithms --task omniglot --models mann lstm --data small1.zip --valid small2.zip

Matrices and controllers are those of the NTM's paper (128 rows of 20, an LSTM of 100), for all machines: at length 120
each vector needs a row of its own. The LSTM beside them is the paper's, three layers of 256, with many times as many
parameters. For Omniglot the machines are those of Santoro's paper (128 rows of 40, four reads, an LSTM of 200), for the
graph tasks larger ones (128 rows of 50, five reads, an LSTM of 256). Runs are made in pieces (benchmarks.pieces), and
one that was interrupted goes on from its last checkpoint.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from everlong import create_model
from everlong.checkpoint import list_checkpoints
from everlong.data.synthetic import RULES, Omniglot, Rules, read_pictures
from everlong.evaluate.episodes import evaluate_episodes
from everlong.models.base import AnyLanguageModel
from everlong.run import load
from everlong.train import TrainConfig, train

from .pieces import RESULTS, Training, comparison, fields, run_all

LEARNED = 0.05
"""Bits per sequence below which a task is learned (copy, associative recall)."""

MACHINE: dict[str, Any] = {"d_model": 100, "n_layers": 1, "memory_slots": 128, "slot_size": 20, "n_reads": 1}
GROWN: dict[str, dict[str, Any]] = {"dnc": {"memory_slots": 1024}}
"""What is changed for a second measurement, of fields that no weight depends on: a DNC that writes at every step has no
free row left after its 128th."""
SIZES: dict[str, dict[str, Any]] = {
    "ntm": MACHINE,
    "ntm+feed-forward": MACHINE | {"controller": "feed-forward"},
    "dnc": MACHINE,
    "dnc+repairs": MACHINE | {"deallocate": True, "mask_keys": True, "sharpen_links": True},
    "mann": MACHINE,
    "lstm": {"d_model": 256, "n_layers": 3},
}
"""Sizes of a model, by its name and, after a plus, what it differs in from the model of that name."""
GRAPHS: dict[str, Any] = {"d_model": 256, "slot_size": 50, "n_reads": 5}
OTHER_MACHINES: dict[str, dict[str, Any]] = {
    "omniglot": {"d_model": 200, "slot_size": 40, "n_reads": 4},
    "graph-traversal": GRAPHS,
    "shortest-path": GRAPHS,
}
"""What tasks change in all models that have a matrix."""
SETTINGS: dict[str, Any] = {"lr": 1e-3, "lanes": 1, "warmup": 100, "clip": 10.0, "weight_decay": 0.0, "eval_every": 250}


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    task: str
    sequences: int
    pictures: tuple[Path, Path] | None = None
    """Drawings to train on, and to measure on, where the task is drawn from some."""

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from others: a row that has it all is its result."""
        machine = OTHER_MACHINES.get(self.task, {}) if "memory_slots" in SIZES[self.model] else {}
        sizes = {**SIZES[self.model], **machine}
        return {"task": self.task, "sequences": self.sequences, **self.chosen(sizes, SETTINGS)}

    @property
    def shared(self) -> dict[str, Any]:
        """Nothing: rows of other tasks may be there."""
        return {}

    def training(self) -> TrainConfig:
        """The settings of the run, whose updates together read the sequences that were asked for."""
        settings = self.asked["settings"]
        steps = max(1, self.sequences // settings["lanes"])
        return TrainConfig(task=self.task, seed=self.seed, steps=steps, keep=1, **settings)

    def rules(self) -> Rules:
        """The task as trained."""
        rules = RULES[self.task]()
        if not isinstance(rules, Omniglot) or self.pictures is None:
            return rules
        trained, held_out = (read_pictures([path]) for path in self.pictures)
        return rules.with_pictures(trained, held_out)


def run(job: Job) -> dict[str, Any]:
    """Train, or go on, then measure the weights that were best at the sizes of training, at every size."""
    torch.set_num_threads(1)
    out, rules, config = job.folder / job.task / f"{job.model}-{job.seed}", job.rules(), job.training()
    torch.manual_seed(job.seed)
    vectors = {"input_size": rules.input_size, "output_size": rules.output_size}
    model = create_model(job.architecture, **vectors, **job.asked["config"])
    began = time.process_time()
    train(model, rules, None, config, out, resume=bool(list_checkpoints(out)))
    spent = time.process_time() - began
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    best = load(out).language_model
    grown = GROWN.get(job.model, {})
    return {
        **job.asked,
        "parameters": sum(p.numel() for p in model.parameters()),
        "sequences_to_learn": learned_after(lines, lanes=config.lanes),
        "cpu_seconds_since_the_last_start": spent,
        "trials": trials(best, rules, sequences=100),
        "grown": grown and {"config": grown, "trials": trials(best.with_config(**grown), rules, sequences=20)},
    }


def trials(model: AnyLanguageModel, rules: Rules, *, sequences: int) -> list[dict[str, Any]]:
    """What so many sequences of each size cost."""
    found = evaluate_episodes(model, rules, trials=(None, *rules.trials()), sequences=sequences, lanes=20)
    return [trial.to_dict() for trial in found]


def learned_after(lines: list[dict[str, float]], *, lanes: int) -> int | None:
    """Sequences that were trained on before the first measurement below `LEARNED`; ``None`` where there is none."""
    below = [line["step"] for line in lines if line.get("valid_bits_per_sequence", LEARNED) < LEARNED]
    return int(below[0]) * lanes if below else None


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and spread (largest minus smallest) over seeds: bits as trained, and wrong answers of the hardest trial."""
    lines = [f"{'model':16s}  seeds  parameters  bits per sequence         wrong, hardest   sequences to learn"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        bits = [row["trials"][0]["bits_per_sequence"] for row in mine]
        wrong = [100 * share for row in mine for key, share in row["trials"][-1].items() if key.startswith("wrong_")]
        until = ", ".join("–" if (n := row["sequences_to_learn"]) is None else f"{n:,}" for row in mine)
        told = [f"{statistics.mean(values):.4f} ±{max(values) - min(values):.4f}" for values in (bits, wrong)]
        size = f"{mine[0]['parameters']:,}"
        lines.append(f"{model:16s}  {len(mine):5d}  {size:>10s}  {told[0]:19s}  {told[1]:>18s}%  {until}")
    return "\n".join(lines)


def main() -> None:
    """Run every model with every seed that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=list(SIZES), known=SIZES)
    parser.add_argument("--task", default="copy", choices=sorted(RULES))
    parser.add_argument("--sequences", type=int, default=20_000)
    parser.add_argument("--data", type=Path, help="drawings to train on, for omniglot")
    parser.add_argument("--valid", type=Path, help="drawings to measure on, for omniglot")
    parser.add_argument("--folder", type=Path, default=Path("runs/algorithms"))
    args = parser.parse_args()
    if args.task == "omniglot" and not (args.data and args.valid):
        parser.error("--task omniglot needs --data and --valid")
    jobs = [
        Job(
            task=args.task,
            model=model,
            seed=seed,
            sequences=args.sequences,
            folder=args.folder / args.name,
            overrides=fields(args.set),
            settings=fields(args.train),
            pictures=(args.data, args.valid) if args.data else None,
        )
        for seed in args.seeds
        for model in args.models
    ]
    result = RESULTS / f"{args.name or args.task}.json"
    run_all(jobs, result, run=run, table=table, order=SIZES, processes=args.jobs)


if __name__ == "__main__":
    main()
