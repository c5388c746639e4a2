"""``everlong eval`` of a run that learned to translate: bits per target byte, and BLEU and chrF."""

import dataclasses
from typing import Any

from everlong.cli.examples import stored_options
from everlong.cli.output import answer, say, write_text
from everlong.cli.pairs import PairOptions, turned
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.cli.targets import written_targets
from everlong.data.pair_store import build_pairs
from everlong.data.pairs import read_pairs
from everlong.evaluate.overlap import overlap
from everlong.generate.translation import Decoding


def eval_translations(request: Request) -> None:
    """Say how well the targets of some pairs, or of those that were held out, are foreseen, and translate the sources.

    Raises:
        ConfigError: a field is unknown or does not fit, or there is nothing to measure.
        DataError: pairs cannot be read.
    """
    options = PairOptions(**stored_options(request.run.folder))
    fields = assign_fields(request.changes, {"model": type(request.run.config), "task": Decoding})
    with written_targets(
        request,
        Decoding(**fields["task"]),
        lambda folder: build_pairs(turned(read_pairs(request.data), options), request.run.tokenizer, folder),
        fields["model"],
    ) as found:
        common = overlap(found.texts, found.references)
    if request.as_json:
        facts: dict[str, Any] = {"bleu": None, "chrf": None, "signature": None}
        answer({**found.facts, "task": "translate", **(facts if common is None else dataclasses.asdict(common))})
        return
    figures = "" if common is None else f", BLEU {common.bleu:.2f}, chrF {common.chrf:.2f}"
    write_text(f"{found.bits:.4f} bits per target byte{figures}, over {len(found.texts):,} pairs.\n")
    if common is None:
        say('BLEU and chrF need the sacrebleu package. Install it with: pip install "everlong[metrics]"')
