"""What a comparison found, as data: of each run, of each model, of all."""

from typing import Any

from everlong.config import Config


class Place(Config):
    """Bits per byte of the tokens that have ``first`` to ``last`` tokens of their document before them."""

    first: int
    last: int
    n_bytes: int
    carried: float
    reset: float
    other: float | None


class TextFigures(Config):
    """What held-out text costs a model, in bits per byte."""

    carried: float
    """With the memory of the document itself."""
    reset: float
    """With an empty memory at the beginning of every chunk."""
    other: float | None
    """With the memory that another document left; ``None`` where there is no other one."""
    n_bytes: int
    n_documents: int
    places: tuple[Place, ...]

    @property
    def gain(self) -> float:
        """What carrying the memory saves over forgetting."""
        return self.reset - self.carried

    def beyond(self, first: int) -> float | None:
        """Bits per byte of all tokens with so many, or more, before them; ``None`` where there are none."""
        far = [place for place in self.places if place.first >= first]
        n_bytes = sum(place.n_bytes for place in far)
        return sum(place.carried * place.n_bytes for place in far) / n_bytes if n_bytes else None


class Moment(Config):
    """Where a run stood: means over the updates since the moment before."""

    tokens: float
    seconds: float
    operations: float
    bits: float
    """Bits per byte of the text that is learned."""


class ProbeFigures(Config):
    """How well new sequences of a probe's task are answered, drawn as in training."""

    accuracy: float
    by_mark: dict[int, float]
    """By what the task tells its answers apart by (`Rules.mark`): for most, how many tokens back the answer stood."""
    n_sequences: int


class RunFigures(Config):
    """What was found of one run."""

    model: str
    seed: int
    probe: str = ""
    failure: str = ""
    """Why there is nothing more to say of it; empty where there is."""
    parameters: int = 0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    operations: float = 0.0
    """Of all updates, forward and backward, as they are counted for one."""
    best_step: int | None = None
    """The update whose weights were measured: those that cost the held-out text least while training went on."""
    tokens_per_second: float = 0.0
    """Median over the updates, measurements and checkpoints not counted."""
    curve: tuple[Moment, ...] = ()
    text: TextFigures | None = None
    probed: ProbeFigures | None = None


class Stretch(Config):
    """Reading on, when so many tokens had been read: microseconds a token since the stretch before, round by round."""

    end: int
    microseconds: tuple[float, ...]


class ModelFigures(Config):
    """What does not depend on what was learned. Speeds are of one stream, round by round, in tokens a second."""

    model: str
    parameters: int
    memory_bytes: int
    """Of one session."""
    reach: int | None
    """How many tokens back it can see at all; ``None`` where nothing bounds it."""
    reading: tuple[float, ...]
    decoding: tuple[float, ...]
    stretches: tuple[Stretch, ...]


class Figures(Config):
    """Everything that a comparison found."""

    terms: dict[str, Any]
    data: dict[str, Any]
    runs: tuple[RunFigures, ...]
    models: tuple[ModelFigures, ...]
    """Of the models that have a run which did not fail."""
    machine: str

    @property
    def chunk(self) -> int:
        """Tokens of a lane in one call, after which the reset reading forgets."""
        return int(self.terms["training"]["chunk"])

    @property
    def names(self) -> list[str]:
        """All models, in the order in which they were named."""
        return list(self.terms["models"])

    @property
    def probes(self) -> list[str]:
        """The tasks of the probes."""
        return list(self.terms["probes"])

    def of(self, model: str, probe: str = "") -> list[RunFigures]:
        """The runs of a model that did not fail."""
        return [run for run in self.runs if (run.model, run.probe) == (model, probe) and not run.failure]

    @property
    def failed(self) -> list[RunFigures]:
        """The runs that failed."""
        return [run for run in self.runs if run.failure]
