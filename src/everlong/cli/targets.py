"""What ``everlong eval`` does with pairs of texts of any kind: bits per target byte, and targets that are written."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from everlong.cli.held_out import examples_to_measure
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.data import ExampleStore
from everlong.evaluate.pairs import bits_per_target_byte
from everlong.generate.targets import Search, write_targets
from everlong.models import Seq2Seq


@final
@dataclass(frozen=True, kw_only=True)
class Written:
    """Pairs, how well their targets were foreseen, and what was written in their place."""

    pairs: ExampleStore
    bits: float
    texts: list[str]
    references: list[str]
    facts: dict[str, Any]
    """Of all this, as JSON values."""


@contextmanager
def written_targets(
    request: Request, search: Search, build: Callable[[Path], ExampleStore], fields: dict[str, Any]
) -> Generator[Written]:
    """Measure a run on the pairs that are given, or that were held out, and write targets for their sources.

    Args:
        request: what ``everlong eval`` was asked.
        search: how targets are searched for.
        build: makes a store of the pairs that are given in a new folder.
        fields: of the model's config that have another value now.

    Raises:
        ConfigError: a field does not fit, or there is nothing to measure.
        DataError: pairs cannot be read.
    """
    model, tokenizer = request.run.model, request.run.tokenizer
    assert isinstance(model, Seq2Seq)
    model = model.with_config(**fields) if fields else model
    with examples_to_measure(request, build, what="pairs") as pairs:
        with counting("pairs", 2 * len(pairs)) as report:
            bits = bits_per_target_byte(model, pairs, tokenizer, lanes=request.lanes, report=report)
            sources = (pairs[n] for n in range(len(pairs)))
            texts: list[str] = []
            for one in write_targets(model, tokenizer, sources, search=search, lanes=request.lanes):
                texts.append(one.text)
                report(len(pairs) + len(texts))
        facts = {"run": str(request.run.folder), "model": model.architecture, "n_pairs": len(pairs)}
        yield Written(
            pairs=pairs,
            bits=bits,
            texts=texts,
            references=[tokenizer.decode(pairs[n]["target"]) for n in range(len(pairs))],
            facts={**facts, "bits_per_byte": bits, "decoding": search.model_dump()},
        )
