"""``everlong probe``: what a memory is worth, shown as fits what a run learned; or what a model's would be."""

from pathlib import Path
from typing import Annotated

import typer

from everlong.cli.settings import parse_assignments
from everlong.errors import ConfigError, did_you_mean


def probe(
    subject: Annotated[
        str, typer.Argument(metavar="DIR|MODEL", help="Folder of a run; or an architecture, which is trained first.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="For a run, the picture: .svg, .html or .png; DIR/probe.svg for a matrix unless this or --json is "
            "given. For a model, the folder of all that is trained.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK,...", help="For a model: generated tasks of tokens that it is to learn.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="For a model: how long each training lasts, its controls' too.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="SEED,...", help="For a model: one training each; 0 unless given.")
    ] = None,
    sequences: Annotated[
        int | None, typer.Option(help="Sequences of each size, where answers are counted; 100 unless given.")
    ] = None,
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens in one call, after which the reset reading forgets; of text, also the short context of key "
            "tokens. 256 of text unless given, and a quarter of the longest sequence of its size.",
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            help="The longest context to try on text, a power of two; beyond what the model sees, unless given. A "
            "matrix memory is measured on text, and not drawn, if this is given."
        ),
    ] = None,
    judge: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A run that picks the key tokens; the run itself unless given.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Sequences or documents, one below another; 1 unless given.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Text to read, for a run that learned from text.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="PATH...", help="The same from text files, JSON lines or folders.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens to read: of each text for a picture, 250 unless given; or of all, 100,000 unless given."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Number of the first sequence of a generated task; eval measures from 0.")
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another value of a field of the model or the task, e.g. task.max_length=40; for a model, of its "
            "training too.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Show what a memory is worth: how far back it reaches, how much it holds, where it was written and read.

    A run of a generated task of tokens answers what was shown before, with its own memory, with none and with another
    sequence's; right answers are counted by load and by distance.

    A language model that is given --data is measured by the amount of context, by position with three memories, by key
    tokens and by gradients.

    A matrix memory (ntm, dnc, mann) is drawn: where it was written, and where it was read when. A run of another
    generated task reads new sequences of the largest size it was trained on, or that --set gives; a run of text reads
    what is given. --json tells of each head and step the slot with the largest weight, that weight and how sharp the
    head was (1 on one slot, 1/n on n evenly). Where the task is to copy, an answer is addressed right if a head that
    reads has more than half of its weight on a slot on which a head that writes had when it was shown.

    A model is trained on generated tasks of tokens for so many minutes each, beside two transformers of its sizes: one
    that sees only the last tokens, and one that sees all. The same command goes on where it stopped.
    """
    changes = parse_assignments(assign or [])

    import torch

    from everlong.models import list_models

    if threads:
        torch.set_num_threads(threads)
    of_model = {"--task": task is not None, "--minutes": minutes is not None, "--seeds": seeds is not None}
    given = {
        "--prompt": prompt is not None,
        "--data": bool(data),
        "--examples": examples is not None,
        "--limit": limit is not None,
        "--seed": seed is not None,
        "--context": context is not None,
        "--judge": judge is not None,
    }
    counted = {"--sequences": sequences is not None, "--chunk": chunk is not None}
    folder = Path(subject)
    if not folder.exists() and subject in list_models():
        from everlong.cli.controls import ModelRequest, probe_model

        if unused := [name for name, asked in given.items() if asked]:
            raise ConfigError(
                f"{subject} is a model, which is trained first and asked then; that has no use for {', '.join(unused)}."
                " Leave that out, or give the folder of a run."
            )
        probe_model(
            ModelRequest(
                model=subject,
                tasks=task,
                minutes=minutes,
                seeds=seeds,
                out=out,
                changes=changes,
                sequences=sequences,
                chunk=chunk,
                as_json=as_json,
            )
        )
        return

    from everlong.cli.probe_request import ProbeRequest
    from everlong.cli.probes import probe_of
    from everlong.models.machine import MachineModel
    from everlong.run import load
    from everlong.train.folder import rules_of, training_of

    if not folder.exists():
        raise ConfigError(
            f"{subject} is no architecture, and there is no folder {subject}.{did_you_mean(subject, list_models())} "
            "Give the folder that everlong train wrote with --out, or a model that everlong models lists."
        )
    if unused := [name for name, asked in of_model.items() if asked]:
        raise ConfigError(
            f"{subject} is the folder of a run, which has learned already and has no use for {', '.join(unused)}. "
            "Leave that out, or name a model."
        )
    trained, rules = load(folder), rules_of(folder)
    if rules is None and bool(prompt) == bool(data):
        raise ConfigError(
            "give the run, which learned from text, one text to read: --prompt and words, or --data and names of files."
        )
    stream = bool(data) and training_of(folder).task == "lm"
    chosen = probe_of(
        rules, prompt=bool(prompt), stream=stream and not (context is None and isinstance(trained.model, MachineModel))
    )
    if unused := [name for name, asked in (given | counted).items() if asked and name not in chosen.takes]:
        raise ConfigError(
            f"{subject} learned task={training_of(folder).task}, whose probe has no use for {', '.join(unused)}: "
            f"{chosen.why}. Leave that out."
        )
    chosen.show(
        ProbeRequest(
            run=trained,
            out=out,
            data=tuple(data or ()),
            prompt=prompt,
            examples=examples,
            limit=limit,
            seed=seed,
            sequences=sequences,
            chunk=chunk,
            context=context,
            judge=judge,
            changes=changes,
            as_json=as_json,
        )
    )
