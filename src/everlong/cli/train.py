"""``everlong train``: from text to a run folder, with one command; interrupted and resumed at will."""

from pathlib import Path
from typing import Annotated

import typer

from everlong.cli.settings import merge_fields, parse_assignments, read_fields
from everlong.errors import ConfigError


def train(
    out: Annotated[Path, typer.Option(help="Folder for the run: settings, checkpoints, figures.")],
    model: Annotated[str, typer.Argument(help="Architecture; everlong models lists them.", metavar="MODEL")] = "",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH...",
            help="Text files, JSON lines (.jsonl) or folders; also .gz, .xz and .zst. For babi: a tar archive, a "
            "folder or qa..._train.txt files. For omniglot: zip files or folders of drawings.",
        ),
    ] = None,
    valid: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH...",
            help="What to measure on. Without it, the last 5 % of a text is held out: of the documents where there are "
            "20 or more, else of the text; for babi, its test files are measured; of drawings, the last fifth of the "
            "characters is held out.",
        ),
    ] = None,
    document_separator: Annotated[
        str | None, typer.Option(metavar="LINE", help="A line that parts documents within a file.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="lm, the next token, for language models; dialogue, the same of conversations in JSON lines; mlm, "
            "hidden tokens, for encoders; classify, labels of texts in JSON lines, tag, entities in texts, and "
            "answer, questions about texts, for encoders; translate, pairs of texts, and summarize, documents with "
            "summaries, for encoder-decoders; babi, questions about stories, for language models; or a generated one, "
            "which needs no --data, for language models: multi-query-recall, multi-query-overwrite, selective-copy, "
            "induction-heads, passkey, needle, variable-tracking, listops; for models that read vectors: copy, "
            "repeat-copy, associative-recall, priority-sort, dynamic-n-gram, graph-traversal, shortest-path; or "
            "omniglot, which is drawn from pictures.",
            metavar="TASK",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="byte, or bpe:SIZE, which is trained on --data; byte unless given.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Begin with the weights and the tokenizer of another run, or of what everlong convert wrote.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates in all; 1000 unless given.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time in all; alone, it is the only limit.")] = None,
    lanes: Annotated[int | None, typer.Option(help="Streams read side by side; 8 unless given.")] = None,
    chunk: Annotated[int | None, typer.Option(help="Tokens of each lane in one call; 256 unless given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights and dropout; 0 unless given.")] = None,
    track: Annotated[str | None, typer.Option(help="tensorboard, besides metrics.jsonl.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A field of model, training or task: d_model=256, lr=3e-4, max_length=30, task.tasks=[1,2].",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="JSON or TOML file of such fields; --set wins over it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object as the last line of standard output.")] = False,
) -> None:
    """Train a model on your own text, on questions about stories, or on a generated task.

    Ctrl-C saves; the same folder with --resume goes on exactly where the run stopped.
    """
    flags = {
        "task": task, "steps": steps, "minutes": minutes, "lanes": lanes, "chunk": chunk, "seed": seed, "track": track
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    layers = [read_fields(config) if config else {}, merge_fields(parse_assignments(assign or []), given)]
    if task == "story":
        raise ConfigError("stories are learned as any other text. Leave out --task story; everlong eval knows it.")
    if not resume and not model and not start:
        raise ConfigError("no model is named. Write everlong train MODEL, for example transformer-xl.")
    if resume and start:
        raise ConfigError("--resume goes on with the run in --out, which knows what it began with. Leave out --from.")
    if tokenizer and start:
        raise ConfigError("--from brings the tokenizer that its weights belong to. Leave out --tokenizer.")

    from everlong.cli.corpus import Source
    from everlong.cli.lessons import course
    from everlong.cli.recipe import new_recipe, resumed_recipe, started_recipe
    from everlong.cli.training import run_training
    from everlong.train.folder import require_usable

    require_usable(out, resume=resume)
    if resume:
        recipe = resumed_recipe(out, model, layers)
    else:
        recipe = started_recipe(start, model, layers) if start else new_recipe(model, layers)
    about_text = {
        "--data": bool(data),
        "--valid": bool(valid),
        "--document-separator": document_separator is not None,
        "--tokenizer": tokenizer is not None,
        "--from": start is not None,
        "--chunk": chunk is not None,
    }
    lessons = course(recipe.training.task)
    # A task that takes any tokenizer takes that of other weights, and so the weights.
    takes = lessons.takes | ({"--from"} if "--tokenizer" in lessons.takes else set())
    unused = [name for name, asked in about_text.items() if asked and name not in takes]
    if unused:
        raise ConfigError(
            f"task={recipe.training.task} has no use for {', '.join(unused)}: {lessons.why}. "
            "Leave that out, or give another --task."
        )
    if "--data" in lessons.takes and not resume and not data:
        raise ConfigError(f"{lessons.missing}. Write --data and the names of files or folders.")
    fixed = [name for name in ("--valid", "--document-separator", "--tokenizer") if about_text[name]]
    if resume and fixed and not data:
        raise ConfigError(
            f"--resume goes on with what the run has made of its data, which {', '.join(fixed)} cannot change. "
            "Leave that out, or begin a new run in another folder."
        )
    source = Source(
        data=tuple(data or ()), valid=tuple(valid or ()), separator=document_separator, tokenizer=tokenizer or "byte"
    )
    code = run_training(recipe, source, out, start=start, resume=resume, threads=threads, as_json=as_json)
    if code:
        raise typer.Exit(code)
