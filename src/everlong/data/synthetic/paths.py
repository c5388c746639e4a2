"""Graph traversal and shortest paths (Graves et al., 2016, Nature 538, Methods); graphs are those of the module graph.

graph-traversal   A graph; the query: a node with the label of an edge of it, then labels of edges, each of the node
                  that the one before led to. Asked for, in silence: the labels of all nodes that are come to.
shortest-path     A graph; the query: a source and a destination in one triple that is left open in the middle; steps
                  of silence to plan in. Asked for, in silence: the triples of the shortest path from one to the other.

A label is asked for as three digits, each a choice among ten. The marks count the steps of the answer.

Nothing is fed back while answers are given: neither what the model said (as in the paper) nor what it should have said
(teacher forcing), in training and measuring alike. Only pairs of nodes with exactly one shortest path are asked for;
the paper allows several, and trains towards any best next step. For a traversal the paper asks for whole triples;
source and edge of these are known from the query and from the answer before, and are not asked for here.
"""

from abc import ABC
from typing import ClassVar, Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.graph import (
    BASE,
    FLAGS,
    LABEL,
    LABELS,
    TRIPLE,
    Joined,
    description,
    digits,
    in_phases,
    join,
    label,
    route,
    routes,
    triples,
)
from everlong.data.synthetic.rules import Episode, Rules, Sizes, generator, integer, require_order
from everlong.errors import ConfigError

TRIES = 1000
"""Graphs that are drawn before it is given up to find a path; a tenth of them must do when the rules are made."""


class GraphRules(Rules, ABC):
    """What tasks about random graphs share."""

    mark: ClassVar[str] = "step"

    min_nodes: int = Field(default=10, ge=2)
    max_nodes: int = Field(default=15, ge=2, le=LABELS // 2)
    """Nodes of a graph, as many as not; twice as many are measured."""
    min_neighbours: int = Field(default=2, ge=1)
    max_neighbours: int = Field(default=6, ge=1)
    """Nearest other nodes that edges go to from a node."""
    min_steps: int = Field(default=1, ge=1)
    max_steps: int = Field(default=4, ge=1)
    """Edges of the way that is asked for."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("nodes", "neighbours", "steps"):
            sizes = self.model_dump()
            require_order({f"{end}_{name}": sizes[f"{end}_{name}"] for end in ("min", "max")})
        return self

    @property
    def input_size(self) -> int:
        """A triple and two flags."""
        return TRIPLE + FLAGS

    @property
    def choices(self) -> int:
        """A digit."""
        return BASE

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Every number of nodes and of steps as likely."""
        return {
            "nodes": integer(rng, self.min_nodes, self.max_nodes),
            "steps": integer(rng, self.min_steps, self.max_steps),
        }

    def trials(self) -> tuple[Sizes, ...]:
        """The largest sizes of training; then twice as many nodes; then twice as many steps too."""
        nodes, steps = self.max_nodes, self.max_steps
        return (
            {"nodes": nodes, "steps": steps},
            {"nodes": 2 * nodes, "steps": steps},
            {"nodes": 2 * nodes, "steps": 2 * steps},
        )

    def joined(self, rng: torch.Generator, nodes: int) -> Joined:
        """The edges of a new graph."""
        return join(rng, nodes=nodes, fewest=self.min_neighbours, most=self.max_neighbours)


@final
class GraphTraversal(GraphRules):
    """Say where a sequence of edges leads."""

    name = "graph-traversal"

    @property
    def output_size(self) -> int:
        """The digits of a node."""
        return LABEL

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """A graph, a start and edges to follow, each as likely as the others of its source, then silence."""
        graph = label(rng, self.joined(rng, sizes["nodes"]))
        path = [integer(rng, 0, sizes["nodes"] - 1)]
        for _ in range(sizes["steps"]):
            following = (graph.edges[path[-1]] >= 0).nonzero()[:, 0]
            path.append(int(following[integer(rng, 0, len(following) - 1)]))
        nowhere = torch.full((sizes["steps"],), -1)
        source = nowhere.index_fill(0, torch.tensor([0]), int(graph.nodes[path[0]]))
        query = triples(source, graph.edges[path[:-1], path[1:]], nowhere)
        return in_phases([description(rng, graph), query], digits(graph.nodes[path[1:]]))


@final
class ShortestPath(GraphRules):
    """Say how to come from one node to another."""

    name = "shortest-path"

    planning: int = Field(default=10, ge=1)
    """Steps between query and answer."""

    @model_validator(mode="after")
    def _findable(self) -> Self:
        for sizes in ({"nodes": self.min_nodes, "steps": self.max_steps}, *self.trials()):
            self.find(generator(0), sizes, tries=TRIES // 10)
        return self

    @property
    def output_size(self) -> int:
        """The digits of a triple."""
        return TRIPLE

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """A graph, two nodes, silence."""
        joined, source, destination = self.find(rng, sizes, tries=TRIES)
        graph = label(rng, joined)
        path = route(joined, source, destination, steps=sizes["steps"])
        query = triples(graph.nodes[[source]], torch.tensor([-1]), graph.nodes[[destination]])
        way = torch.cat(
            [digits(graph.nodes[path[:-1]]), digits(graph.edges[path[:-1], path[1:]]), digits(graph.nodes[path[1:]])],
            dim=1,
        )
        return in_phases([description(rng, graph), query, torch.zeros(self.planning, TRIPLE)], way)

    def find(self, rng: torch.Generator, sizes: Sizes, *, tries: int) -> tuple[Joined, int, int]:
        """The edges of a graph and two nodes with one shortest path between them; others are drawn again.

        Raises:
            ConfigError: none was found.
        """
        for _ in range(tries):
            joined = self.joined(rng, sizes["nodes"])
            pairs = routes(joined, steps=sizes["steps"]).nonzero()
            if len(pairs):
                source, destination = pairs[integer(rng, 0, len(pairs) - 1)].tolist()
                return joined, source, destination
        raise ConfigError(
            f"in none of {tries:,} graphs of {sizes['nodes']} nodes was a path of {sizes['steps']} steps the only "
            "shortest one. "
            "Give more nodes (min_nodes, max_nodes), fewer steps (max_steps) or fewer neighbours (max_neighbours)."
        )
