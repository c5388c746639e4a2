"""``everlong compare``: the same text, batches and time for several models, and a page that says which to take."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everlong.cli.output import answer, say
from everlong.cli.progress import reporting_turns
from everlong.cli.settings import parse_assignments
from everlong.errors import ConfigError, DataError, EverlongError

if TYPE_CHECKING:
    from everlong.cli.corpus import Source
    from everlong.compare.terms import Terms
    from everlong.compare.turns import Texts

INTERRUPTED = 130
LANGUAGES = ("en", "zh")


def compare(
    data: Annotated[
        list[Path],
        typer.Option(metavar="PATH...", help="Text files, JSON lines (.jsonl) or folders; also .gz, .xz and .zst."),
    ],
    models: Annotated[str, typer.Option(metavar="A,B,...", help="Language models; everlong models lists them.")],
    out: Annotated[Path, typer.Option(help="Folder for everything; that of a comparison that was stopped goes on.")],
    minutes: Annotated[float | None, typer.Option(help="Time of each run.", min=0.01)] = None,
    steps: Annotated[
        int | None, typer.Option(help="Updates of each run, instead of a time: the same tokens for all.", min=1)
    ] = None,
    operations: Annotated[
        float | None,
        typer.Option(help="Operations of each run instead, as counted for an update, for example 1e13.", min=1),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="Each model is trained once with each.")] = "0",
    valid: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH...", help="What to measure on; as for training, the last 5 % unless given."),
    ] = None,
    document_separator: Annotated[
        str | None, typer.Option(metavar="LINE", help="A line that parts documents within a file.")
    ] = None,
    tokenizer: Annotated[str, typer.Option(help="byte, or bpe:SIZE, which is trained on --data.")] = "byte",
    lanes: Annotated[int, typer.Option(help="Streams read side by side.")] = 8,
    chunk: Annotated[int, typer.Option(help="Tokens of each lane in one call.")] = 256,
    probes: Annotated[
        str,
        typer.Option(
            metavar="T,...",
            help="Generated tasks of tokens that each model is also trained on, for a quarter as long as on the text.",
        ),
    ] = "",
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A field of all models that have it, of one, gru.d_model=64, of the training, lr=3e-3 or gru.lr=3e-3, "
            "or of a probe.",
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(help="Of the page: en or zh; unless given, zh where the text is mostly Chinese.")
    ] = "",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Train several models on the same text for the same time, and say which one to take for what.

    Runs take turns, seed by seed; then every run is measured. DIR/report.html shows it all, comparison.csv has a row a
    run, comparison.json everything. Ctrl-C saves, and the same command goes on; so does one that was killed.
    """
    if language and language not in LANGUAGES:
        raise ConfigError(f"--language {language} is not known. Give en or zh, or leave it out.")

    import torch

    from everlong.cli.corpus import Source
    from everlong.compare.contest import PAGE
    from everlong.compare.contest import compare as run
    from everlong.compare.tables import to_dict
    from everlong.compare.terms import make_terms, split_names, split_seeds
    from everlong.compare.turns import agree, withdraw
    from everlong.compare.words import summary
    from everlong.report.page import require_jinja

    require_jinja()
    if threads:
        torch.set_num_threads(threads)
    terms = make_terms(
        models=split_names(models),
        seeds=split_seeds(seeds),
        probes=split_names(probes),
        steps=steps,
        minutes=minutes,
        operations=operations,
        lanes=lanes,
        chunk=chunk,
        threads=torch.get_num_threads(),
        assigned=parse_assignments(assign or []),
    )
    source = Source(data=tuple(data), valid=tuple(valid or ()), separator=document_separator, tokenizer=tokenizer)
    new = agree({**terms.to_dict(), **source.facts()}, out)
    try:
        texts = read_texts(source, out, terms)
    except EverlongError:
        if new:
            withdraw(out)
        raise
    with reporting_turns() as report:
        figures = run(terms, texts, out, language=language or None, tell=say, report=report)  # pyright: ignore[reportArgumentType] - checked above
    if figures is None:
        say(f"stopped and saved in {out}\ngo on with the same command")
        raise typer.Exit(INTERRUPTED)
    for topic, sentence in summary(figures, "en"):
        say(f"{topic}: {sentence}" if topic else sentence)
    say(f"look at {shlex.quote(str(out / PAGE))}")
    if as_json:
        answer({"report": str(out / PAGE), **to_dict(figures)})


def read_texts(source: "Source", out: Path, terms: "Terms") -> "Texts":
    """What all models learn from and are measured on: made once, in the folder of the comparison.

    Raises:
        EverlongError: the text cannot be read, is too short, or leaves nothing to measure on.
    """
    from everlong.cli.corpus import STORE, build_stores, open_stores
    from everlong.compare.turns import Texts
    from everlong.data import LaneReader, read_documents
    from everlong.train.validation import require_targets

    if not (out / STORE).exists():
        say(f"reading {', '.join(str(path) for path in source.data)}")
    build_stores(source, out, partial(read_documents, separator=source.separator))
    corpus = open_stores(out)
    LaneReader(corpus.train, lanes=terms.training.lanes, chunk=terms.training.chunk)
    if corpus.valid is None:
        raise DataError(
            "the text is too short to hold any of it out. Give more of it, or name other text with --valid."
        )
    require_targets(corpus.valid, limit=terms.training.eval_tokens)
    return Texts(train=corpus.train, valid=corpus.valid, tokenizer=corpus.tokenizer)
