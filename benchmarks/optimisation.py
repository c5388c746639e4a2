"""What each remedy against long gradient paths buys: the same model with and without it, at an equal number of updates.

    python -m benchmarks.optimisation --seeds 0 1 2 --recall-steps 2000 --text-steps 1000

`lstm` recalls two values over gaps of up to 62 tokens (multi-query-recall), for initialisations: accuracy by distance.
`gru` and `compressive-transformer` read english-novels: bits per byte with the memory carried, reset and another
document's, for windows, starting memories and clipping by source. All of `gru` read 256 tokens of each lane in an
update;
they differ in where its gradients are cut and what it remembers. Runs are made in pieces (benchmarks.pieces).
"""

import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from everlong import create_model
from everlong.data import ByteTokenizer
from everlong.data.synthetic import MultiQueryRecall
from everlong.evaluate import evaluate
from everlong.evaluate.episodes import evaluate_episodes
from everlong.run import load
from everlong.train import TrainConfig, train

from .pieces import RESULTS, Training, comparison, fields, run_all
from .quality import COMPRESSIVE, DATA, stores

Row = dict[str, Any]

RULES: Row = {"length": 64, "pairs": 2, "symbols": 16}
CELLS: Row = {"d_model": 64, "n_layers": 1}
RECALL: Row = {"lr": 3e-3, "lanes": 32, "warmup": 50, "clip": 1.0, "weight_decay": 0.0}
TEXT: Row = {"lr": 3e-3, "lanes": 8, "chunk": 32, "warmup": 100, "clip": 0.25, "window": 1, "accumulate": 8}
LONG: Row = TEXT | {"window": 8, "accumulate": 1}
GRU: Row = {"d_model": 128, "n_layers": 2}
SMALL: Row = COMPRESSIVE | {"d_model": 64, "n_layers": 2, "d_ff": 256, "segment": 64, "mem_len": 64}
SEGMENTED: Row = TEXT | {"chunk": 64, "accumulate": 2}

VARIANTS: dict[str, tuple[Row, Row]] = {
    "lstm": (CELLS, RECALL),
    "lstm+orthogonal": (CELLS | {"orthogonal": True}, RECALL),
    "lstm+chrono": (CELLS | {"chrono_max": 64}, RECALL),
    "lstm+orthogonal,chrono": (CELLS | {"orthogonal": True, "chrono_max": 64}, RECALL),
    "gru": (GRU, TEXT),
    "gru+window": (GRU, LONG),
    "gru+window,growth": (GRU, LONG | {"window_growth": 0.5}),
    "gru+window,dropout": (GRU, LONG | {"memory_dropout": 0.1}),
    "gru+window,swap": (GRU, LONG | {"memory_swap": 0.1}),
    "compressive-transformer": (SMALL, SEGMENTED),
    "compressive-transformer+clip-aux": (SMALL, SEGMENTED | {"clip_aux": 0.05}),
}
"""Model and training of each, by the name of the model and, after a plus, the remedies."""


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    recall_steps: int
    text_steps: int

    @property
    def recalls(self) -> bool:
        """Whether it learns the generated task, and not text."""
        return self.architecture == "lstm"

    @property
    def asked(self) -> Row:
        """What tells this run from others: a row that has it all is its result."""
        sizes, settings = VARIANTS[self.model]
        size = {"vocab_size": RULES["symbols"] if self.recalls else 256}
        return self.shared | self.chosen(size | sizes, settings)

    @property
    def shared(self) -> Row:
        """What every row of its result file has in common with it."""
        return {"recall_steps": self.recall_steps, "text_steps": self.text_steps}

    def training(self) -> TrainConfig:
        """The settings of the run."""
        steps = self.recall_steps if self.recalls else self.text_steps
        task = "multi-query-recall" if self.recalls else "lm"
        kept = {"seed": self.seed, "eval_every": 0, "eval_sequences": 1, "save_every": 0, "keep": 1}
        return TrainConfig(task=task, steps=steps, **kept, **self.asked["settings"])


def run(job: Job) -> Row:
    """Train, then measure the last weights."""
    out = job.folder / f"{job.model}-{job.seed}"
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    model, config = create_model(job.architecture, **job.asked["config"]), job.training()
    began = time.process_time()
    if job.recalls:
        rules = MultiQueryRecall(**RULES)
        train(model, rules, None, config, out)
        spent = time.process_time() - began
        (found,) = evaluate_episodes(load(out).language_model, rules, trials=(None,), sequences=1000, lanes=50)
        by_distance = {str(mark): tally.accuracy for mark, tally in found.by_mark.items()}
        figures = {"accuracy": 1 - found.wrong, "accuracy_by_distance": by_distance}
    else:
        data, held_out = stores("english-novels", job.folder)
        train(model, data, None, config, out, tokenizer=ByteTokenizer())
        spent = time.process_time() - began
        told = evaluate(load(out).model, held_out, ByteTokenizer(), lanes=8, chunk=128).to_dict()
        figures = {key: value for key, value in told.items() if key.startswith("bits_per_byte") or key == "gain"}
    shutil.rmtree(out)
    return {**job.asked, "training_cpu_seconds": spent, **figures}


def table(rows: list[Row]) -> str:
    """Mean and spread (largest minus smallest) over seeds."""
    lines = [f"{'model':33s}  seeds   CPU s  figures"]
    names = ("accuracy", "bits_per_byte", "bits_per_byte_reset", "bits_per_byte_other")
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        told = [
            f"{name} {statistics.mean(values):.4f} ±{max(values) - min(values):.4f}"
            for name in names
            if (values := [row[name] for row in mine if name in row])
        ]
        seconds = statistics.mean(row["training_cpu_seconds"] for row in mine)
        lines.append(f"{model:33s}  {len(mine):5d}  {seconds:6.0f}  {'  '.join(told)}")
    return "\n".join(lines)


def main() -> None:
    """Run every variant with every seed that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=list(VARIANTS), known=VARIANTS)
    parser.add_argument("--recall-steps", type=int, default=2000)
    parser.add_argument("--text-steps", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path("runs/optimisation"))
    args = parser.parse_args()
    if not DATA.exists():
        sys.exit("../shared/data is not there: this benchmark reads its texts from it.")
    if any(not model.startswith("lstm") for model in args.models):
        stores("english-novels", args.folder)
    jobs = [
        Job(
            model=model,
            seed=seed,
            recall_steps=args.recall_steps,
            text_steps=args.text_steps,
            folder=args.folder,
            overrides=fields(args.set),
            settings=fields(args.train),
        )
        for seed in args.seeds
        for model in args.models
    ]
    result = RESULTS / f"{args.name or 'optimisation'}.json"
    run_all(jobs, result, run=run, table=table, order=VARIANTS, processes=args.jobs)


if __name__ == "__main__":
    main()
