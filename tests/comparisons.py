"""Figures of a comparison that nobody ran, for tests of what is said about them."""

from collections.abc import Mapping, Sequence

from everlong.compare.figures import (
    Figures,
    ModelFigures,
    Moment,
    Place,
    ProbeFigures,
    RunFigures,
    Stretch,
    TextFigures,
)
from everlong.compare.terms import make_terms

EDGES = [(1, 15), (16, 31), (32, 63), (64, 127), (128, 255), (256, 511)]
PROBE = "multi-query-recall"


def text(bits: float, *, gain: float = 0.1, other: bool = True) -> TextFigures:
    """Bits per byte at every place alike, and a little more without memory."""
    places = tuple(
        Place(first=a, last=b, n_bytes=100, carried=bits, reset=bits + gain, other=bits if other else None)
        for a, b in EDGES
    )
    return TextFigures(
        carried=bits, reset=bits + gain, other=bits if other else None, n_bytes=600, n_documents=2, places=places
    )


def run(model: str, seed: int, bits: float, *, gain: float = 0.1, speed: float = 100.0) -> RunFigures:
    """A run that went well."""
    curve = tuple(Moment(tokens=1000.0 * n, seconds=6.0 * n, operations=1e10 * n, bits=8 / n) for n in range(1, 40))
    return RunFigures(
        model=model, seed=seed, parameters=10, steps=39, tokens=39_000, seconds=234.0, best_step=39,
        tokens_per_second=speed + seed, curve=curve, text=text(bits, gain=gain),
    )  # fmt: skip


def probed(model: str, seed: int, accuracy: float) -> RunFigures:
    """A run of a probe."""
    found = ProbeFigures(accuracy=accuracy, by_mark={4: accuracy, 8: accuracy, 16: 0.1}, n_sequences=200)
    return RunFigures(model=model, seed=seed, probe=PROBE, steps=10, seconds=60.0, tokens_per_second=9.0, probed=found)


def sizes(model: str, *, memory_bytes: int, decoding: Sequence[float]) -> ModelFigures:
    """What a model costs."""
    return ModelFigures(
        model=model, parameters=10, memory_bytes=memory_bytes, reach=None, reading=tuple(10 * s for s in decoding),
        decoding=tuple(decoding), stretches=tuple(Stretch(end=end, microseconds=(5.0, 6.0)) for end in (1024, 2048)),
    )  # fmt: skip


def figures(
    bits: Mapping[str, Sequence[float]],
    *,
    memory_bytes: Mapping[str, int] | None = None,
    failed: Sequence[RunFigures] = (),
    accuracies: Mapping[str, Sequence[float]] | None = None,
) -> Figures:
    """A comparison in which each model needed so many bits per byte with each seed."""
    names = list(bits)
    seeds = range(max(map(len, bits.values())))
    probes = [PROBE] if accuracies else []
    terms = make_terms(
        models=names, seeds=seeds, probes=probes, steps=None, minutes=2.0, lanes=8, chunk=64, threads=1, assigned={}
    )
    lost = {(one.model, one.seed, one.probe) for one in failed}
    runs = [run(name, seed, own) for name in names for seed, own in enumerate(bits[name])]
    runs += [probed(name, seed, own) for name in probes and names for seed, own in enumerate((accuracies or {})[name])]
    return Figures(
        terms=terms.to_dict(),
        data={"n_tokens": 9_500, "n_held_out_tokens": 601, "n_held_out_bytes": 601, "n_held_out_documents": 2,
              "tokenizer": "byte"},
        runs=tuple([one for one in runs if (one.model, one.seed, one.probe) not in lost] + list(failed)),
        models=tuple(
            sizes(name, memory_bytes=(memory_bytes or {}).get(name, 64 * (n + 1)), decoding=(100.0 - n, 101.0 - n))
            for n, name in enumerate(names)
        ),
        machine="a machine",
    )  # fmt: skip
