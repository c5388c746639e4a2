"""Labels of real texts at an equal budget of processor time: encoders that read all of a text, and one that cuts it.

    python -m benchmarks.classification --data imdb --models han han+mean --cpu-minutes 8 --seeds 0 1 2

Texts are those of ../shared/data, in its splits; where there is nothing to validate on, every twentieth text of the
training files is held out for that. Byte pairs are learned from the training texts. The budget becomes a number of
updates before a run begins, by its own speed over a trial, so all models have the same time and not the same texts.
The weights that were best on the validation texts are measured on all test texts. Runs are made in pieces
(benchmarks.pieces), and one that was interrupted goes on from its last checkpoint.
"""

import json
import lzma
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from everlong import create_model
from everlong.checkpoint import list_checkpoints
from everlong.cli.labelled import store_labelled
from everlong.data import BPETokenizer, ExampleStore, load_tokenizer
from everlong.data.labelled import LabelledOptions, LabelledText
from everlong.evaluate.classes import evaluate_classes
from everlong.models.classifier import Classifier
from everlong.run import load
from everlong.train import TrainConfig, train
from everlong.train.distribution import World
from everlong.train.folder import training_of
from everlong.train.state import TrainingState
from everlong.train.tasks import make_task

from .pieces import RESULTS, Training, comparison, fields, run_all, updates_in

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES: dict[str, dict[str, str]] = {
    "imdb": {"train": "train", "test": "test"},
    "20newsgroups": {"train": "train", "valid": "valid", "test": "test"},
    "fudan-zh-long": {"train": "train", "valid": "valid", "test": "test"},
    "brown-genre": {"train": "brown", "valid": "brown", "test": "brown"},
}
"""The file of each split; where one file has all, a field of each text says its split."""
VALID = 20
"""One training text in this many is held out where no file is there for that."""

LAYERS: dict[str, Any] = {"d_model": 128, "n_layers": 2, "n_heads": 4, "d_ff": 512, "dropout": 0.1}
SIZES: dict[str, dict[str, Any]] = {
    "han": {"d_model": 100, "dropout": 0.3},
    "han+mean": {"d_model": 100, "dropout": 0.3, "pooling": "mean"},
    "hierarchical-encoder": LAYERS,
    "longformer-encoder": LAYERS | {"window": 128},
    "bert": LAYERS,
}
"""Sizes of a model, by its name and, after a plus, what it differs in from the model of that name."""
LIMITS = {"bert": 512}
"""Tokens of a text that a model reads; all, unless given."""
SETTINGS: dict[str, Any] = {"lr": 1e-3, "lanes": 32, "warmup": 100, "clip": 1.0, "weight_decay": 0.01}
TRIAL, MEASUREMENTS = 24, 8
"""Updates from whose time the speed is taken, after two more, and how often the validation texts are measured."""


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    data: str
    cpu_minutes: float
    vocab_size: int

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from others: a row that has it all is its result."""
        return {**self.shared, **self.chosen(SIZES[self.model], SETTINGS), "limit": LIMITS.get(self.model, 0)}

    @property
    def shared(self) -> dict[str, Any]:
        """What every row of its result file has in common with it."""
        return {"data": self.data, "cpu_minutes": self.cpu_minutes, "vocab_size": self.vocab_size}


def texts(data: str, split: str) -> Iterator[LabelledText]:
    """The labelled texts of a split, a newsgroup's with their subject."""
    names = FILES[data]
    with lzma.open(DATA / data / f"{names.get(split, 'train')}.jsonl.xz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            record = json.loads(line)
            drawn = "valid" if number % VALID == 0 else "train"
            here = split if "valid" in names or split == "test" else drawn
            if record.get("split", here) == split and record["text"].strip():
                text = f"{record['subject']}\n\n{record['text']}" if "subject" in record else record["text"]
                yield LabelledText(record["id"], text, str(record["label"]))


def prepare(job: Job) -> Path:
    """Make the tokenizer of a corpus, and the stores that a run reads, once; the folder of the stores."""
    home = job.folder / f"{job.data}-{job.vocab_size}"
    if not (home / "tokenizer.json").exists():
        home.mkdir(parents=True, exist_ok=True)
        BPETokenizer.train((text.text for text in texts(job.data, "train")), vocab_size=job.vocab_size).save(home)
    options, tokenizer = LabelledOptions(limit=job.asked["limit"]), load_tokenizer(home)
    labels = sorted({text.label for text in texts(job.data, "train")})
    for split in ("train", "valid", "test"):
        place = home / f"limit-{options.limit}" / split
        if not place.exists():
            store_labelled(texts(job.data, split), labels, tokenizer, options, place)
    return home / f"limit-{options.limit}"


def new_model(job: Job, vocab_size: int) -> Any:
    """The encoder; the seed decides its weights."""
    torch.manual_seed(job.seed)
    return create_model(job.architecture, vocab_size=vocab_size, **job.asked["config"])


def config_of(job: Job, data: ExampleStore, tokenizer: BPETokenizer) -> TrainConfig:
    """The settings, with as many updates as this model makes in its time."""
    kept: dict[str, Any] = {"task": "classify", "seed": job.seed, "keep": 1, "steps": 1}
    config = TrainConfig.parse({**kept, **job.asked["settings"]})
    with torch.random.fork_rng(devices=[]):
        task = make_task(new_model(job, tokenizer.vocab_size), data, None, config, tokenizer)
        steps = updates_in(TrainingState(task, config, World()), cpu_minutes=job.cpu_minutes, trial=TRIAL)
    every = max(1, steps // MEASUREMENTS)
    return config.replace(steps=steps, eval_every=every, save_every=every)


def run(job: Job) -> dict[str, Any]:
    """Train, or go on, then measure the best weights on every test text."""
    torch.set_num_threads(1)
    home = prepare(job)
    out, tokenizer = home / f"{job.model}-{job.seed}-{job.cpu_minutes:g}", load_tokenizer(home.parent)
    assert isinstance(tokenizer, BPETokenizer)
    data, valid, test = (ExampleStore.open(home / name) for name in ("train", "valid", "test"))
    before = bool(list_checkpoints(out))
    config = training_of(out).replace(**job.asked["settings"]) if before else config_of(job, data, tokenizer)
    began = time.process_time()
    result = train(new_model(job, tokenizer.vocab_size), data, valid, config, out, tokenizer=tokenizer, resume=before)
    spent = time.process_time() - began
    model = load(out).model
    assert isinstance(model, Classifier)
    told = evaluate_classes(model, test, lanes=32).to_dict()
    return {
        **job.asked,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": result.step,
        "texts_read": result.step * config.lanes,
        "epochs": result.step * config.lanes / len(data),
        "best_step": result.best_step,
        "valid_bits": result.best_bits,
        "cpu_seconds_since_the_last_start": spent,
        "left_out": test.about["left_out"] / test.about["n_tokens"],
        **{name: told[name] for name in ("n_texts", "accuracy", "macro_f1", "bits_per_text")},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and spread (largest minus smallest) over seeds of what was told of the test texts."""
    lines = [f"{'model':21s}  seeds  parameters  texts read  budget   left out  accuracy, %  macro-F1, %"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        told = [
            f"{statistics.mean(values):.2f} ±{max(values) - min(values):.2f}"
            for values in ([100 * row[name] for row in mine] for name in ("accuracy", "macro_f1"))
        ]
        read, minutes = (statistics.mean(row[name] for row in mine) for name in ("texts_read", "cpu_minutes"))
        lines.append(
            f"{model:21s}  {len(mine):5d}  {mine[0]['parameters']:>10,}  {read:>10,.0f}  {minutes:7.1f}  "
            f"{mine[0]['left_out']:8.1%}  {told[0]:11s}  {told[1]}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run every model with every seed that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=list(SIZES), known=SIZES)
    parser.add_argument("--data", default="imdb", choices=sorted(FILES))
    parser.add_argument("--cpu-minutes", type=float, default=8.0, help="for the updates of each run")
    parser.add_argument("--vocab-size", type=int, default=16_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/classification"))
    args = parser.parse_args()
    jobs = [
        Job(
            data=args.data,
            model=model,
            seed=seed,
            cpu_minutes=args.cpu_minutes,
            vocab_size=args.vocab_size,
            folder=args.folder / args.name,
            overrides=fields(args.set),
            settings=fields(args.train),
        )
        for seed in args.seeds
        for model in args.models
    ]
    for job in jobs:
        prepare(job)
    result = RESULTS / f"{args.name or f'classify-{args.data}'}.json"
    run_all(jobs, result, run=run, table=table, order=SIZES, processes=args.jobs)


if __name__ == "__main__":
    main()
