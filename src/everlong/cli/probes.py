"""What ``everlong probe`` shows of a run, by what the run learned and what it is given to read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from everlong.cli.matrix import picture_episodes, picture_texts
from everlong.cli.probe_request import ProbeRequest
from everlong.cli.recall import probe_recall
from everlong.cli.text_probe import probe_stream
from everlong.data.synthetic import Rules, TokenRules


@final
@dataclass(frozen=True, kw_only=True)
class Probe:
    """A way to look into a memory."""

    show: Callable[[ProbeRequest], None]
    """Measures or draws, and says what it found."""
    takes: frozenset[str]
    """Which of the command's options about what is read it uses."""
    why: str
    """Why it does not use the others."""


EPISODES = Probe(
    show=picture_episodes,
    takes=frozenset({"--examples", "--seed"}),
    why="it is generated and reads no text",
)
PROMPT = Probe(
    show=picture_texts, takes=frozenset({"--prompt", "--examples", "--limit"}), why="the text is read token by token"
)
TEXT = Probe(
    show=picture_texts, takes=frozenset({"--data", "--examples", "--limit"}), why="the text is read token by token"
)
STREAM = Probe(
    show=probe_stream,
    takes=frozenset({"--data", "--limit", "--chunk", "--context", "--judge"}),
    why="the text is read as a stream",
)
RECALL = Probe(
    show=probe_recall, takes=frozenset({"--sequences", "--chunk"}), why="its answers are counted, and it reads no text"
)


def probe_of(rules: Rules | None, *, prompt: bool, stream: bool) -> Probe:
    """How a run is probed.

    Args:
        rules: those by which its sequences are drawn; ``None`` if it learned from text.
        prompt: whether it is to read the words of the command line.
        stream: whether what it makes of the context in text is measured.
    """
    if isinstance(rules, TokenRules):
        return RECALL
    if rules is not None:
        return EPISODES
    if stream:
        return STREAM
    return PROMPT if prompt else TEXT
