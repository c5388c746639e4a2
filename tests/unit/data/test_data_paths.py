"""Graph tasks: what is shown is a graph by the rules, and what is asked for is what a search by hand finds in it."""

import itertools

import pytest
import torch
from tests.reference.graph import edges_of, follow, read_episode, read_triple, shortest_paths
from torch import Tensor

from everlong.data.synthetic import Episode, GraphTraversal, ShortestPath, generator
from everlong.data.synthetic.graph import in_phases, join, label, route, routes
from everlong.errors import ConfigError
from everlong.shapes import IGNORE

SEEDS = range(40)


def answer(episode: Episode) -> Tensor:
    """The answer's digits, which are all that is asked for."""
    asked = (episode.targets != IGNORE).all(dim=1)
    assert torch.equal(asked, (episode.targets != IGNORE).any(dim=1))
    assert torch.equal(asked, episode.inputs[:, 91] == 1)
    assert episode.marks is not None
    assert episode.marks[~asked].tolist() == [0] * int((~asked).sum())
    assert episode.marks[asked].tolist() == list(range(1, int(asked.sum()) + 1))
    return episode.targets[asked].long()


def labels(digits: Tensor) -> list[int]:
    return (digits @ torch.tensor([100, 10, 1])).tolist()


def test_edges_go_to_the_nearest_neighbours() -> None:
    for n in SEEDS:
        joined = join(generator(n), nodes=12, fewest=2, most=5)
        points = torch.rand(12, 2, generator=generator(n), dtype=torch.float64)
        for node in range(12):
            others = [other for other in range(12) if other != node]
            others.sort(key=lambda other: float((points[other] - points[node]).norm()))
            degree = int(joined[node].sum())
            assert 2 <= degree <= 5
            assert set(joined[node].nonzero()[:, 0].tolist()) == set(others[:degree])
    degrees = torch.cat([join(generator(n), nodes=12, fewest=2, most=5).sum(dim=1) for n in SEEDS])
    assert set(degrees.tolist()) == {2, 3, 4, 5}
    few = join(generator(0), nodes=3, fewest=4, most=6)
    assert few.sum(dim=1).tolist() == [2, 2, 2]
    assert not few.diagonal().any()


def test_labels_tell_nodes_apart_and_the_edges_of_a_node() -> None:
    for n in SEEDS:
        joined = join(generator(n), nodes=30, fewest=2, most=6)
        graph = label(generator(n), joined)
        assert len(set(graph.nodes.tolist())) == 30
        assert torch.equal(graph.edges >= 0, joined)
        for node in range(30):
            mine = graph.edges[node][joined[node]].tolist()
            assert len(set(mine)) == len(mine)
            assert all(0 <= number < 1000 for number in mine)


def test_a_traversal_asks_where_the_edges_lead() -> None:
    rules = GraphTraversal()
    lengths = set[int]()
    for n in SEEDS:
        sizes = rules.draw_sizes(generator(n))
        episode = rules.draw(generator(n), sizes)
        shown = read_episode(episode.inputs)
        edges = edges_of(shown.description)
        assert len(edges) == sizes["nodes"]
        assert all(2 <= len(following) <= 6 for following in edges.values())
        (start, *rest), asked_edges = zip(*((t[0], t[1]) for t in shown.query), strict=True)
        assert rest == [None] * (sizes["steps"] - 1)
        assert all(destination is None for _, _, destination in shown.query)
        assert (shown.silent, shown.answer) == (0, sizes["steps"])
        assert labels(answer(episode)) == follow(edges, start, list(asked_edges))
        lengths.add(sizes["steps"])
    assert lengths == {1, 2, 3, 4}


def test_a_shortest_path_is_what_a_breadth_first_search_finds_and_the_only_one() -> None:
    rules = ShortestPath(planning=7)
    for n, sizes in enumerate([*(rules.draw_sizes(generator(n)) for n in SEEDS), *rules.trials()]):
        episode = rules.draw(generator(n), sizes)
        shown = read_episode(episode.inputs)
        edges = edges_of(shown.description)
        ((source, edge, destination),) = shown.query
        assert edge is None
        assert source is not None
        assert destination is not None
        assert (shown.silent, shown.answer) == (7, sizes["steps"])
        (path,) = shortest_paths(edges, source, destination)
        assert len(path) == sizes["steps"] + 1
        found = answer(episode).view(-1, 3, 3)
        assert labels(found[:, 0]) == path[:-1]
        assert labels(found[:, 2]) == path[1:]
        assert labels(found[:, 1]) == [edges[a][b] for a, b in itertools.pairwise(path)]


def test_triples_come_in_random_order() -> None:
    episode = GraphTraversal().draw(generator(3), {"nodes": 12, "steps": 1})
    sources = [triple[0] for triple in read_episode(episode.inputs).description]
    assert sources != sorted(sources, key=sources.index)
    together = [a == b for a, b in itertools.pairwise(sources)]
    assert sum(together) < len(together) / 2


def test_two_shortest_paths_are_not_asked_for() -> None:
    #     0 → 1 → 3 → 4   and   0 → 2 → 3
    joined = torch.zeros(5, 5, dtype=torch.bool)
    for source, destination in ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4)):
        joined[source, destination] = True
    assert routes(joined, steps=1).nonzero().tolist() == [[0, 1], [0, 2], [1, 3], [2, 3], [3, 4]]
    assert routes(joined, steps=2).nonzero().tolist() == [[1, 4], [2, 4]]
    assert not routes(joined, steps=3).any()
    assert route(joined, 1, 4, steps=2) == [1, 3, 4]
    # A way round: from 0 to 4 it takes 3 steps, both ways; one edge less and only one is left.
    joined[0, 2] = False
    assert routes(joined, steps=3).nonzero().tolist() == [[0, 4]]
    assert route(joined, 0, 4, steps=3) == [0, 1, 3, 4]


def test_flags_mark_where_phases_begin_and_answers_are_asked_for() -> None:
    phases = [torch.ones(2, 90), torch.ones(1, 90), torch.zeros(3, 90)]
    episode = in_phases(phases, torch.tensor([[7, 8], [9, 1]]))
    assert episode.inputs[:, 90].tolist() == [0, 0, 1, 1, 0, 0, 1, 0]
    assert episode.inputs[:, 91].tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    assert episode.inputs[:, :90].sum(dim=1).tolist() == [90, 90, 90, 0, 0, 0, 0, 0]
    assert episode.targets[-2:].tolist() == [[7, 8], [9, 1]]


def test_published_and_chosen_sizes() -> None:
    assert (ShortestPath().input_size, ShortestPath().output_size, ShortestPath().choices) == (92, 90, 10)
    assert (GraphTraversal().input_size, GraphTraversal().output_size) == (92, 30)
    assert ShortestPath().planning == 10
    assert GraphTraversal().trials()[-1] == {"nodes": 30, "steps": 8}
    drawn = ShortestPath().draw(generator(0), {"nodes": 10, "steps": 3})
    assert int((drawn.targets != IGNORE).sum()) == 3 * 9
    assert read_triple(drawn.inputs[0].tolist())[0] is not None


@pytest.mark.parametrize(
    ("rules", "fields", "message"),
    [
        (GraphTraversal, {"min_nodes": 16}, "min_nodes=16 is more than max_nodes=15"),
        (GraphTraversal, {"max_neighbours": 1}, "min_neighbours=2 is more than max_neighbours=1"),
        (ShortestPath, {"min_steps": 5}, "min_steps=5 is more than max_steps=4"),
        (GraphTraversal, {"max_nodes": 501}, "max_nodes = 501 does not fit"),
        (
            ShortestPath,
            {"min_nodes": 4},
            r"in none of 100 graphs of 4 nodes was a path of 4 steps the only shortest one\. Give more nodes",
        ),
    ],
)
def test_sizes_that_do_not_fit(
    rules: type[GraphTraversal | ShortestPath], fields: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        rules(**fields)
