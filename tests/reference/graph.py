"""Graph tasks by breadth-first search over labels, read off what an episode shows."""

from collections import deque
from typing import NamedTuple

from torch import Tensor

Triple = tuple[int | None, int | None, int | None]
Edges = dict[int, dict[int, int]]
"""For each source, the label of the edge to each destination."""


class Shown(NamedTuple):
    """The phases of an episode, as labels."""

    description: list[Triple]
    query: list[Triple]
    silent: int
    """Steps between query and answer."""
    answer: int
    """Steps of the answer."""


def read_label(numbers: list[float]) -> int | None:
    """The label that thirty numbers show."""
    if not any(numbers):
        return None
    label = ""
    for group in (numbers[:10], numbers[10:20], numbers[20:]):
        assert sorted(group) == [0.0] * 9 + [1.0]
        label += str(group.index(1.0))
    return int(label)


def read_triple(numbers: list[float]) -> Triple:
    """The labels that a step shows."""
    return read_label(numbers[:30]), read_label(numbers[30:60]), read_label(numbers[60:90])


def read_episode(inputs: Tensor) -> Shown:
    """The phases of an episode, told apart by its flags."""
    steps = inputs.tolist()
    begins = [n for n, step in enumerate(steps) if step[90] == 1]
    asks = [n for n, step in enumerate(steps) if step[91] == 1]
    assert asks == list(range(begins[-1], len(steps)))
    said = [read_triple(step) for step in steps]
    assert all(triple == (None, None, None) for triple in said[asks[0] :])
    quiet = begins[1:-1]
    query_ends = quiet[0] if quiet else begins[-1]
    assert all(triple == (None, None, None) for triple in said[query_ends:])
    return Shown(said[: begins[0]], said[begins[0] : query_ends], begins[-1] - query_ends, len(asks))


def edges_of(description: list[Triple]) -> Edges:
    """The graph that triples describe; no edge twice, no label twice at one source."""
    edges: Edges = {}
    for source, label, destination in description:
        assert source is not None
        assert label is not None
        assert destination is not None
        assert source != destination
        mine = edges.setdefault(source, {})
        assert destination not in mine
        assert label not in mine.values()
        mine[destination] = label
    return edges


def follow(edges: Edges, start: int, labels: list[int]) -> list[int]:
    """The nodes that a sequence of edges leads to."""
    nodes = [start]
    for label in labels:
        (following,) = [node for node, its_label in edges[nodes[-1]].items() if its_label == label]
        nodes.append(following)
    return nodes[1:]


def shortest_paths(edges: Edges, source: int, destination: int) -> list[list[int]]:
    """Every shortest path, as the nodes on it."""
    waiting, found = deque([[source]]), list[list[int]]()
    while waiting:
        path = waiting.popleft()
        if found and len(path) > len(found[0]):
            break
        if path[-1] == destination:
            found.append(path)
        elif not found:
            waiting += [[*path, node] for node in edges[path[-1]] if node not in path]
    return found
