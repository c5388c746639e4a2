"""Counts of a large setup from counts of small ones.

    f(x) = sum_i f(x_i) prod_{j != i} (x - x_j) / (x_i - x_j)                                          (Lagrange)

Lanes do not know of each other and layers are alike, so every count is a line in lanes and a line in layers: two small
sizes of each tell all. The same holds for the chunk where a model takes one step for each token, as recurrent cells and
machines with a matrix do. In a chunk that is read at once cost need be no line (windows fill up), so there the chunk
stays as it is, and so does a text that is read whole.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod

from everlong.errors import ConfigError
from everlong.plan.case import Setup
from everlong.plan.ledger import Counts, combine

Sizes = Mapping[str, Sequence[int]]
"""For each setting that is taken smaller, the values it is counted at."""

STEPS = (32, 64)
"""Chunks at which models of one step a token are counted."""

ROWS = 256
"""Tokens of all lanes together of which activations outweigh a single gradient, as they do in a large step."""

MOST_LAYERS = 8
"""Layers in which a pattern of unlike layers is looked for."""


def weights_at(samples: Sequence[int], x: float) -> list[float]:
    """How much each sample counts at `x`, for a polynomial through all of them."""
    return [prod((x - other) / (one - other) for other in samples if other != one) for one in samples]


def extrapolate(count: Callable[[Setup], Counts], setup: Setup, sizes: Sizes) -> Counts:
    """Counts of a setup, from those of the same setup at all combinations of small sizes."""
    wanted = sizes_of(setup)
    weights = {name: weights_at(samples, wanted[name]) for name, samples in sizes.items()}
    corners: list[tuple[float, Counts]] = []
    for places in product(*(range(len(samples)) for samples in sizes.values())):
        chosen = dict(zip(sizes, places, strict=True))
        weight = prod(weights[name][at] for name, at in chosen.items())
        if weight:
            corners.append((weight, count(setup.changed({name: sizes[name][at] for name, at in chosen.items()}))))
    return combine(corners)


def sizes_of(setup: Setup) -> dict[str, int]:
    """The settings that may be taken smaller, as they are."""
    return {"n_layers": setup.model.n_layers, "lanes": setup.training.lanes, "chunk": setup.chunk}


def small_sizes(setup: Setup, *, by_steps: bool) -> dict[str, Sequence[int]]:
    """Sizes at which a setup is counted: few lanes and twice as many, the fewest layers allowed and twice as many.

    Where the chunk is taken shorter, lanes stay as they are: how fast a product of few rows is depends on how many.

    Args:
        setup: what is planned.
        by_steps: whether its model takes one step for each token.
    """
    found: dict[str, Sequence[int]] = {"n_layers": layer_samples(setup)}
    if by_steps:
        return found | {"chunk": STEPS}
    lanes = setup.training.lanes
    fewest = max(1, min(ROWS // setup.chunk, lanes // 2))
    return found | {"lanes": (fewest, 2 * fewest) if lanes > 1 else (1,)}


def layer_samples(setup: Setup) -> tuple[int, ...]:
    """The fewest layers that the config allows, and twice as many; as many as there are where that is no fewer."""
    layers = setup.model.n_layers
    for unit in range(1, min(MOST_LAYERS, layers // 2) + 1):
        if all(_allowed(setup, n) for n in (unit, 2 * unit)):
            return unit, 2 * unit
    return (layers,)


def _allowed(setup: Setup, n_layers: int) -> bool:
    try:
        setup.changed({"n_layers": n_layers})
    except ConfigError:
        return False
    return True
