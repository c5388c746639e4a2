"""``everlong eval`` of a run that learned to summarize: ROUGE beside that of each document's first sentences."""

import dataclasses
from typing import Any

from everlong.cli.output import answer, say, write_text
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.cli.targets import written_targets
from everlong.data.pair_store import build_pairs
from everlong.data.summaries import SummaryOptions, read_summaries
from everlong.evaluate.rouge import Rouge, lead, rouge
from everlong.generate.summary import Summarizing
from everlong.train.folder import examples_of


def eval_summaries(request: Request) -> None:
    """Summarize documents that are given or were held out, and say what the summaries have in common with people's.

    Raises:
        ConfigError: a field is unknown or does not fit, or there is nothing to measure.
        DataError: documents or summaries cannot be read.
    """
    run, learned = request.run, examples_of(request.run.folder)
    options = SummaryOptions.parse(learned["options"])
    fields = assign_fields(request.changes, {"model": type(run.config), "task": Summarizing})
    search = Summarizing(**{"max_new_tokens": learned["longest_target"], **fields["task"]})
    length = learned["target_tokens"] / learned["n_pairs"]
    with written_targets(
        request,
        search,
        lambda folder: build_pairs(read_summaries(request.data), run.tokenizer, folder, options=options),
        fields["model"],
    ) as found:
        documents = (found.pairs[n] for n in range(len(found.pairs)))
        texts = (run.tokenizer.decode(one["source"][int(one["query"][0]) :]) for one in documents)
        common = rouge(found.texts, found.references)
        beginnings = rouge([lead(text, run.tokenizer, length=length) for text in texts], found.references)
        left_out = found.pairs.about["left_out"]
    rows = {"model": common, "lead": beginnings}
    if request.as_json:
        figures: dict[str, Any] = {name: row and dataclasses.asdict(row) for name, row in rows.items()}
        answer({**found.facts, "task": "summarize", "left_out": left_out, "lead_tokens": length, "rouge": figures})
        return
    if common is None or beginnings is None:
        say('ROUGE needs the rouge-score package. Install it with: pip install "everlong[metrics]"')
    else:
        _print({run.model.architecture: common, f"first sentences, {length:.0f} tokens": beginnings})
    write_text(f"{found.bits:.4f} bits per summary byte, over {len(found.texts):,} documents.\n")
    if left_out:
        say(f"limit={options.limit} left out {left_out:,} tokens of documents.")


def _print(rows: dict[str, Rouge]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("ROUGE-1", "ROUGE-2", "ROUGE-L"):
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(name, f"{row.rouge1:.2f}", f"{row.rouge2:.2f}", f"{row.rougeL:.2f}")
    console = Console()
    console.print(table)
    console.print(next(iter(rows.values())).signature, highlight=False)
