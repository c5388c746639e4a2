"""The seconds of one contestant, round by round, and what is read from them."""

from dataclasses import dataclass, field
from statistics import median, quantiles


@dataclass
class Turns:
    """`rounds[i][j]` seconds of step j in round i."""

    name: str
    rounds: list[list[float]] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """All steps."""
        return [seconds for steps in self.rounds for seconds in steps]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return median(self.seconds)

    @property
    def best(self) -> float:
        """The least disturbed step."""
        return min(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile: how much the machine shook."""
        if len(self.seconds) == 1:
            return self.median, self.median
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    def times_faster_than(self, other: "Turns") -> float:
        """Median over the rounds of the other's time over this one's: a drift that hits both cancels."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return median(median(theirs) / median(mine) for mine, theirs in pairs)

    def to_json(self) -> dict[str, object]:
        """Figures in milliseconds, with the median of every round for whoever wants to look again."""
        low, high = self.spread
        return {
            "median_ms": round(1e3 * self.median, 4),
            "best_ms": round(1e3 * self.best, 4),
            "quartiles_ms": [round(1e3 * low, 4), round(1e3 * high, 4)],
            "rounds_ms": [round(1e3 * median(steps), 4) for steps in self.rounds],
        }
