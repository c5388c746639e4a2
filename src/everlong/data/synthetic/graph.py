"""Random graphs and how they are shown, after the graph tasks of the DNC (Graves et al., 2016, Nature 538, Methods).

Nodes are points drawn evenly in the unit square. From each node, edges go to its nearest neighbours, to how many is
drawn for each node. A node's label is a number from 0 to 999 that no other node has, an edge's one that no other edge
of the same source has.

A graph is shown as its triples (source, edge, destination), one a step, in random order. A label is three decimal
digits, each one-hot, so a triple is 90 numbers; two flags come after it:

    90   1 at the first step of each phase after the description
    91   1 wherever an answer is asked for
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.data.synthetic.rules import Episode
from everlong.shapes import IGNORE

LABELS, DIGITS, BASE = 1000, 3, 10
LABEL = DIGITS * BASE
"""Numbers in a label."""
TRIPLE = 3 * LABEL
"""Numbers in a triple."""
FLAGS = 2

Joined = Bool[Tensor, "n n"]
"""Whether there is an edge from each node to each other one."""


class Graph(NamedTuple):
    """Labels of nodes, and of the edge from each node to each other one: -1 where there is none."""

    nodes: Int[Tensor, "n"]
    edges: Int[Tensor, "n n"]


def join(rng: torch.Generator, *, nodes: int, fewest: int, most: int) -> Joined:
    """Points in the unit square, and whether an edge goes from each to each other one: to `fewest` to `most` nearest.

    Where there are not so many others, edges go to all of them.
    """
    points = torch.rand(nodes, 2, generator=rng, dtype=torch.float64)
    apart = (points[:, None] - points).square().sum(dim=-1).fill_diagonal_(torch.inf)
    wanted = torch.randint(fewest, most + 1, (nodes,), generator=rng).clamp(max=nodes - 1)
    nearer = torch.arange(nodes) < wanted[:, None]
    return torch.zeros(nodes, nodes, dtype=torch.bool).scatter(1, apart.argsort(dim=1), nearer)


def label(rng: torch.Generator, joined: Joined) -> Graph:
    """Numbers for the nodes, and for the edges of each node, none of them twice."""
    nodes = torch.randperm(LABELS, generator=rng)[: len(joined)]
    edges = torch.rand(len(joined), LABELS, generator=rng).argsort(dim=1)[:, : len(joined)]
    return Graph(nodes, edges.where(joined, -1))


def routes(joined: Joined, *, steps: int) -> Joined:
    """Between which nodes there is exactly one shortest path, of so many edges.

    The entries of a power of the adjacency matrix count walks, and the shortest walks are the shortest paths.
    """
    edges, walks = joined.double(), torch.eye(len(joined), dtype=torch.float64)
    sooner = torch.zeros_like(joined)
    for _ in range(steps):
        sooner |= walks > 0
        walks = walks @ edges
    return (walks == 1) & ~sooner


def route(joined: Joined, source: int, destination: int, *, steps: int) -> list[int]:
    """The nodes of the only shortest path, which has so many edges, from the source to the destination."""
    path = [source]
    for left in range(steps - 1, 0, -1):
        path.append(int((joined[path[-1]] & routes(joined, steps=left)[:, destination]).nonzero()))
    return [*path, destination]


def digits(labels: Int[Tensor, "k"]) -> Int[Tensor, "k 3"]:
    """The decimal digits of labels, hundreds first."""
    return torch.stack([labels // BASE**place % BASE for place in reversed(range(DIGITS))], dim=-1)


def shown(labels: Int[Tensor, "k"]) -> Float[Tensor, "k 30"]:
    """Labels as one-hot digits; nothing where there is none (-1)."""
    ones = F.one_hot(digits(labels), BASE).flatten(1).float()
    return ones * (labels >= 0)[:, None]


def triples(source: Int[Tensor, "k"], edge: Int[Tensor, "k"], destination: Int[Tensor, "k"]) -> Float[Tensor, "k 90"]:
    """Triples of labels; -1 for a place that is left open."""
    return torch.cat([shown(source), shown(edge), shown(destination)], dim=1)


def description(rng: torch.Generator, graph: Graph) -> Float[Tensor, "k 90"]:
    """All triples of a graph, in random order."""
    pairs = (graph.edges >= 0).nonzero()
    source, destination = pairs[torch.randperm(len(pairs), generator=rng)].unbind(dim=1)
    return triples(graph.nodes[source], graph.edges[source, destination], graph.nodes[destination])


def in_phases(phases: Sequence[Float[Tensor, "_ 90"]], answer: Int[Tensor, "a q"]) -> Episode:
    """An episode of some phases, the description first, and the answer after them, in silence but for the flags."""
    lengths = torch.tensor([len(phase) for phase in phases])
    begins = lengths.cumsum(0)
    inputs = torch.zeros(int(lengths.sum()) + len(answer), TRIPLE + FLAGS)
    inputs[: -len(answer), :TRIPLE] = torch.cat(list(phases))
    inputs[begins, TRIPLE] = 1
    inputs[-len(answer) :, TRIPLE + 1] = 1
    targets = torch.full((len(inputs), answer.shape[1]), float(IGNORE))
    targets[-len(answer) :] = answer.float()
    marks = torch.zeros(len(inputs), dtype=torch.int64)
    marks[-len(answer) :] = torch.arange(1, len(answer) + 1)
    return Episode(inputs=inputs, targets=targets, marks=marks)
