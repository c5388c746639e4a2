"""Multi30k, English to German, at an equal budget of processor time: the Transformer, and a GRU with each score.

    python -m benchmarks.translation --cpu-minutes 20 --seeds 0 1 2 --jobs 2

Byte pairs are made of the training text, both sides together. Every model is measured with its last weights on
test_2016_flickr, by four beams; nothing is chosen by it. The budget becomes a number of updates before the run begins,
by the model's own speed over the updates of a trial. Runs are made in pieces (benchmarks.pieces), and one that was
interrupted goes on from its last checkpoint.
"""

import dataclasses
import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch

from everlong import create_model
from everlong.checkpoint import list_checkpoints
from everlong.data import BPETokenizer, ExampleStore, Tokenizer, load_tokenizer
from everlong.data.batches import ExampleReader
from everlong.data.pair_store import build_pairs, collate_pairs, edge_token
from everlong.data.pairs import read_pairs
from everlong.evaluate.overlap import overlap
from everlong.evaluate.pairs import bits_per_target_byte, pair_losses
from everlong.generate.translation import Decoding, translate_lines
from everlong.models.seq2seq import AnySeq2Seq
from everlong.nn.score import ScoreName
from everlong.run import load
from everlong.train import TrainConfig, train
from everlong.train.folder import training_of

from .pieces import RESULTS, Training, comparison, fields, run_all

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "multi30k"
PARTS = {"train": "train", "test": "test_2016_flickr"}

SIZES: dict[str, dict[str, Any]] = {
    "encoder-decoder": {"d_model": 128, "n_layers": 3, "n_heads": 4, "d_ff": 512, "dropout": 0.1, "context": 128},
} | {
    f"recurrent-encoder-decoder+{score}": {"d_model": 128, "n_layers": 1, "dropout": 0.1, "score": score}
    for score in get_args(ScoreName)
}
"""Sizes of a model, by its name and, after a plus, its score."""

SETTINGS: dict[str, Any] = {"lr": 2e-3, "lanes": 64, "warmup": 200, "clip": 1.0, "weight_decay": 0.01}
TRIAL = 24
"""Updates from whose time the speed is taken; the first four warm up."""


@dataclass(frozen=True, kw_only=True)
class Job(Training):
    """One run."""

    cpu_minutes: float
    tokens: int

    @property
    def asked(self) -> dict[str, Any]:
        """What tells this run from others: a row that has it all is its result."""
        return {**self.shared, **self.chosen(SIZES[self.model], SETTINGS)}

    @property
    def shared(self) -> dict[str, Any]:
        """What every row of its result file has in common with it."""
        return {"cpu_minutes": self.cpu_minutes, "tokens": self.tokens}


def prepare(data: Path, folder: Path, *, tokens: int) -> None:
    """Make the tokenizer and the pairs, once."""
    if (folder / "test").exists():
        return
    pairs = {
        name: list(read_pairs([data / f"{part}.{side}.gz" for side in ("en", "de")])) for name, part in PARTS.items()
    }
    texts = (f"{pair.source}\n{pair.target}\n" for pair in pairs["train"])
    tokenizer = BPETokenizer.train(texts, vocab_size=tokens)
    for name, part in pairs.items():
        build_pairs(part, tokenizer, folder / name)
    tokenizer.save(folder)


def updates_in(
    model: AnySeq2Seq, pairs: ExampleStore, config: TrainConfig, *, tokenizer: Tokenizer, cpu_minutes: float
) -> int:
    """How many updates this model makes in so much processor time."""
    model = model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    collate = partial(collate_pairs, edge=edge_token(tokenizer))
    reader = ExampleReader(pairs, collate, lanes=config.lanes, seed=config.seed)
    spent = []
    for _ in range(TRIAL):
        began = time.process_time()
        pair_losses(model, next(reader)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        spent.append(time.process_time() - began)
    # Batches have sentences of one length each, so a mean counts the long ones.
    return max(1, int(60 * cpu_minutes / statistics.mean(spent[4:])))


def run(job: Job) -> dict[str, Any]:
    """Train, or go on, then translate the test's sources with the last weights."""
    torch.set_num_threads(1)
    out, tokenizer = job.folder / f"{job.model}-{job.seed}", load_tokenizer(job.folder)
    data, test = (ExampleStore.open(job.folder / name) for name in PARTS)
    torch.manual_seed(job.seed)
    model = create_model(job.architecture, vocab_size=tokenizer.vocab_size, **job.asked["config"])
    begun = bool(list_checkpoints(out))
    config = TrainConfig(task="translate", seed=job.seed, keep=1, **job.asked["settings"])
    if begun:
        config = training_of(out)
    else:
        steps = updates_in(model, data, config, tokenizer=tokenizer, cpu_minutes=job.cpu_minutes)
        config = config.replace(steps=steps)
        torch.manual_seed(job.seed)
        model = create_model(job.architecture, vocab_size=tokenizer.vocab_size, **job.asked["config"])
    began = time.process_time()
    train(model, data, None, config, out, tokenizer=tokenizer, resume=begun)
    spent = time.process_time() - began
    return {
        **job.asked,
        "parameters": sum(p.numel() for p in model.parameters()),
        "updates": config.steps,
        "epochs": config.steps * config.lanes / len(data),
        "cpu_seconds_since_the_last_start": spent,
        **measured(load(out).model, test, tokenizer),
    }


def measured(model: Any, test: ExampleStore, tokenizer: Tokenizer) -> dict[str, Any]:
    """BLEU, chrF and bits per byte of the test's targets."""
    sources, references = ([tokenizer.decode(test[n][side]) for n in range(len(test))] for side in ("source", "target"))
    found = list(translate_lines(model, tokenizer, sources, decoding=Decoding(), lanes=32))
    common = overlap([one.text for one in found], references)
    assert common is not None, 'BLEU and chrF need sacrebleu: pip install "everlong[metrics]"'
    bits = bits_per_target_byte(model, test, tokenizer, lanes=32)
    unended = sum(not one.ended for one in found)
    return {
        "bits_per_byte": bits,
        **dataclasses.asdict(common),
        "unended": unended,
        "decoding": Decoding().model_dump(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and spread (largest minus smallest) over seeds."""
    heads = {"bleu": "BLEU", "chrf": "chrF", "bits_per_byte": "bits per byte"}
    lines = [f"{'model':40s}  seeds  parameters  updates  {'  '.join(f'{head:13s}' for head in heads.values())}"]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        spreads = [[row[key] for row in mine] for key in heads]
        told = "  ".join(f"{f'{statistics.mean(v):.2f} ±{max(v) - min(v):.2f}':13s}" for v in spreads)
        updates = statistics.mean(row["updates"] for row in mine)
        lines.append(f"{model:40s}  {len(mine):5d}  {mine[0]['parameters']:>10,}  {updates:7.0f}  {told}")
    return "\n".join(lines)


def main() -> None:
    """Run every model with every seed that has no result yet, as many at a time as there are jobs."""
    parser = comparison(__doc__, models=list(SIZES), known=SIZES)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the texts")
    parser.add_argument("--cpu-minutes", type=float, default=20.0)
    parser.add_argument("--tokens", type=int, default=4000, help="size of the vocabulary")
    parser.add_argument("--folder", type=Path, default=Path("runs/translation"))
    args = parser.parse_args()
    folder = args.folder / args.name
    prepare(args.data, folder, tokens=args.tokens)
    jobs = [
        Job(
            model=model,
            seed=seed,
            cpu_minutes=args.cpu_minutes,
            tokens=args.tokens,
            folder=folder,
            overrides=fields(args.set),
            settings=fields(args.train),
        )
        for seed in args.seeds
        for model in args.models
    ]
    run_all(
        jobs, RESULTS / f"{args.name or 'translation'}.json", run=run, table=table, order=SIZES, processes=args.jobs
    )


if __name__ == "__main__":
    main()
