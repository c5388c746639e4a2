"""``everlong generate``: a model writes on, from a prompt, a memory, or both."""

import time
from pathlib import Path
from typing import Annotated

import typer

from everlong.cli.output import answer, say, write_text
from everlong.wording import bytes_text

INTERRUPTED = 130


def generate(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    prompt: Annotated[str | None, typer.Option(help="Text to go on from.")] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="The same from a UTF-8 file of any length; - is standard input.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=0, help="Tokens to write at most.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 is the most likely token; higher is bolder.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from so many of the likeliest tokens; 0 is all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest tokens of this probability together.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 makes recent tokens less likely.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Which of the possible continuations.")] = 0,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text; may be repeated.")] = None,
    memory: Annotated[Path | None, typer.Option(help="Go on from what was remembered in this file.")] = None,
    save_memory: Annotated[Path | None, typer.Option(help="Keep what is remembered in this file.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The text inside one JSON object.")] = False,
) -> None:
    """Write on from a prompt, from a saved memory, or from both, the text appearing as it comes."""
    from everlong.cli.prompt import prompt_pieces

    pieces = prompt_pieces(prompt, prompt_file)

    import torch

    from everlong.generate import Sampler
    from everlong.run import load
    from everlong.session import Session
    from everlong.storage import require_place

    if save_memory is not None:
        require_place(save_memory)
    if threads:
        torch.set_num_threads(threads)
    sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty)
    trained = load(run)
    session = trained.session() if memory is None else Session.load(memory, trained.language_model, trained.tokenizer)
    session.read(pieces)
    stream = session.stream(max_new_tokens=max_new_tokens, sampler=sampler, seed=seed, stop=stop or [])
    began, before, written, interrupted = time.perf_counter(), session.tokens_read, list[str](), False
    try:
        for text in stream:
            written.append(text)
            if not as_json:
                write_text(text)
    except KeyboardInterrupt:
        interrupted = True
    seconds, tokens = time.perf_counter() - began, session.tokens_read - before
    if not as_json:
        write_text("\n")
    if save_memory is not None:
        session.save(save_memory)
        size = bytes_text(save_memory.stat().st_size)
        say(f"saved the memory of {session.tokens_read:,} tokens in {save_memory}, {size}")
    if as_json:
        answer(
            {
                "text": "".join(written),
                "new_tokens": tokens,
                "tokens_read": session.tokens_read,
                "session_bytes": session.nbytes,
                "seconds": seconds,
                "saved": None if save_memory is None else str(save_memory),
            }
        )
    if interrupted:
        raise typer.Exit(INTERRUPTED)
