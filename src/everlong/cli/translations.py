"""``everlong eval`` of a run that learned to translate: bits per target byte, and BLEU and chrF."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from everlong.cli.examples import HELD_OUT_EXAMPLES, stored_options
from everlong.cli.output import answer, say, write_text
from everlong.cli.pairs import PairOptions, turned
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data import ExampleStore
from everlong.data.pair_store import build_pairs
from everlong.data.pairs import read_pairs
from everlong.errors import ConfigError
from everlong.evaluate.overlap import overlap
from everlong.evaluate.pairs import bits_per_target_byte
from everlong.generate.translation import Decoding, translate_lines
from everlong.models import Seq2Seq


def eval_translations(request: Request) -> None:
    """Say how well the targets of some pairs, or of those that were held out, are foreseen, and translate the sources.

    Raises:
        ConfigError: a field is unknown or does not fit, or there is nothing to measure.
        DataError: pairs cannot be read.
    """
    trained, model, tokenizer = request.run, request.run.model, request.run.tokenizer
    assert isinstance(model, Seq2Seq)
    fields = assign_fields(request.changes, {"model": type(model.config), "task": Decoding})
    model = model.with_config(**fields["model"]) if fields["model"] else model
    decoding = Decoding(**fields["task"])
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        pairs = _pairs(request, Path(folder) / "pairs")
        with counting("pairs", 2 * len(pairs)) as report:
            bits = bits_per_target_byte(model, pairs, tokenizer, lanes=request.lanes, report=report)
            sources, references = (
                [tokenizer.decode(pairs[n][side]) for n in range(len(pairs))] for side in ("source", "target")
            )
            found: list[str] = []
            for one in translate_lines(model, tokenizer, sources, decoding=decoding, lanes=request.lanes):
                found.append(one.text)
                report(len(pairs) + len(found))
    common = overlap(found, references)
    if request.as_json:
        facts: dict[str, Any] = {"bleu": None, "chrf": None, "signature": None}
        facts |= {} if common is None else dataclasses.asdict(common)
        run = {"run": str(trained.folder), "model": model.architecture, "task": "translate", "n_pairs": len(pairs)}
        answer({**run, "bits_per_byte": bits, **facts, "decoding": decoding.model_dump()})
        return
    figures = "" if common is None else f", BLEU {common.bleu:.2f}, chrF {common.chrf:.2f}"
    write_text(f"{bits:.4f} bits per target byte{figures}, over {len(pairs):,} pairs.\n")
    if common is None:
        say('BLEU and chrF need the sacrebleu package. Install it with: pip install "everlong[metrics]"')


def _pairs(request: Request, folder: Path) -> ExampleStore:
    if request.data:
        options = PairOptions(**stored_options(request.run.folder))
        return build_pairs(turned(read_pairs(request.data), options), request.run.tokenizer, folder)
    kept = request.run.folder / HELD_OUT_EXAMPLES
    if not kept.exists():
        raise ConfigError(f"{request.run.folder} holds no pairs to measure. Write --data and the name of a file.")
    return ExampleStore.open(kept)
