"""Pictures of traces: panels one below another on one axis of time, so that a read stands right of its write.

After figure 6 of Graves et al. (2014) and figure 1 of Graves et al. (2016). Weights are drawn on a scale of square
roots, on which a tenth of a weight is still seen. Slots count from below.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from everlong.evaluate.panels import Panel, Phase, Scale, panels_of, phases_of
from everlong.evaluate.traced import Traced

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#1c1f24", "#5d6470", "#b9bec7"
COLOURS: dict[Scale, Sequence[str]] = {
    "vectors": ("#00796b", "#ffffff", "#22252a"),
    "writes": ("#ffffff", "#cfe1f2", "#6aaed6", "#2070b4", "#08306b"),
    "reads": ("#ffffff", "#fdd9b4", "#fd9243", "#c54102", "#7f2704"),
    "usage": ("#ffffff", "#9a9fa8", "#22252a"),
}
"""Each goes from light to dark: they stay apart without colour, and blue and orange in any eye."""

LEFT, RIGHT, BELOW, GAP = 0.62, 0.62, 0.5, 0.34
"""Inches beside the axis of time, below a sequence, and above a panel."""
HEADING, NAME, WORDS = 0.42, 0.2, 0.19
"""Inches for the heading, for a sequence's name, and for each line of words below it."""
SHORTEST, LONGEST, STEP, TOKEN = 5.4, 12.0, 0.16, 0.12
"""Inches of the axis of time: at least, at most, for a step, and at least for a token, whose label must be read."""
CHANNEL, SLOT = 0.085, 0.0145
"""Inches of a row, as long as panels stay within these bounds, the last of them for more than two heads."""
LOWEST, HIGHEST, HIGHEST_OF_MANY = 0.3, 1.9, 1.15
LETTER = {"heading": 0.1, "name": 0.087, "outcome": 0.07, "token": 0.062}
"""Inches that a letter takes on average, with room to spare, by what it is a letter of."""
NAMED = 4
"""Phases that are named and marked at most; of more, names and marks would be everywhere."""


def draw(examples: Sequence[Traced], heading: str) -> "Figure":
    """All sequences one below another."""
    from matplotlib.figure import Figure

    widths = [time_inches(traced) for traced in examples]
    words = [words_inches("heading", heading), *(words_inches("name", traced.name) for traced in examples)]
    words += [words_inches("outcome", traced.outcome) for traced in examples]
    whole = HEADING + sum(_inches(traced) for traced in examples)
    page = Figure(figsize=(LEFT + max(*widths, *words) + RIGHT, whole), facecolor="white")
    _say(page, heading, LEFT, whole - 0.16, size=11, weight="bold")
    top = whole - HEADING
    for traced, width in zip(examples, widths, strict=True):
        _draw_one(page, traced, top=top, width=width)
        top -= _inches(traced)
    return page


def time_inches(traced: Traced) -> float:
    """How long the axis of time is."""
    if traced.labels:
        return max(SHORTEST, traced.steps * TOKEN)
    return min(max(SHORTEST, traced.steps * STEP), LONGEST)


def words_inches(kind: str, words: str) -> float:
    """How long a line is."""
    return LETTER[kind] * len(words)


def panel_inches(panel: Panel) -> float:
    """How high a panel is."""
    if panel.scale == "vectors":
        return min(max(LOWEST, len(panel.image) * CHANNEL), HIGHEST)
    return min(max(LOWEST, len(panel.image) * SLOT), HIGHEST if panel.of <= 2 else HIGHEST_OF_MANY)


def is_last(panel: Panel) -> bool:
    """Whether it is the last of its scale, below which the tokens stand."""
    return panel.place == panel.of - 1


def _ticks_inches(traced: Traced, panel: Panel) -> float:
    """What the labels of the tokens take below the last panel of each kind."""
    if not traced.labels or not is_last(panel):
        return 0.0
    return max(words_inches("token", label) for label in traced.labels) + 0.05


def _inches(traced: Traced) -> float:
    panels = sum(GAP + panel_inches(panel) + _ticks_inches(traced, panel) for panel in panels_of(traced))
    return NAME + WORDS * (bool(traced.outcome) + bool(named_phases(traced))) + panels + BELOW


def named_phases(traced: Traced) -> list[Phase]:
    """Stretches of an episode, where they are few and there are two kinds of them."""
    phases = phases_of(traced)
    return phases if 1 < len(phases) <= NAMED else []


def _draw_one(page: "Figure", traced: Traced, *, top: float, width: float) -> None:
    _say(page, traced.name, LEFT, top, size=9.5, weight="bold")
    top -= NAME
    if traced.outcome:
        _say(page, traced.outcome, LEFT, top, size=8.5, color=SOFT)
        top -= WORDS
    named = named_phases(traced)
    for phase in named:
        middle = LEFT + (phase.first + phase.end) / 2 / traced.steps * width
        words = "asked for" if phase.asked else "shown"
        _say(page, words, middle, top - 0.12, size=8, color=SOFT, horizontalalignment="center")
    top -= WORDS * bool(named)
    panels = panels_of(traced)
    for panel in panels:
        height = panel_inches(panel)
        top -= GAP + height
        axes = page.add_axes(_box(page, LEFT, top, width, height))
        drawn = _paint(axes, panel)
        for phase in named[1:]:
            axes.axvline(phase.first - 0.5, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
        if panel.place == 0 and panel.scale in ("writes", "reads"):
            _show_scale(page, drawn, _box(page, LEFT + width + 0.1, top, 0.09, height))
        _mark_time(axes, traced, panel, lowest=panel is panels[-1])
        top -= _ticks_inches(traced, panel)


def _paint(axes: "Axes", panel: Panel) -> "ScalarMappable":
    from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm

    colours = LinearSegmentedColormap.from_list(panel.scale, COLOURS[panel.scale])
    vectors = panel.scale == "vectors"
    # A MANN's usage counts every read and write; all else that is drawn is at most 1, or nearly.
    reach = max(1.0, float(abs(panel.image).max()))
    drawn = axes.imshow(
        panel.image,
        cmap=colours,
        norm=Normalize(-reach, reach) if vectors else PowerNorm(0.5, 0.0, reach, clip=True),
        aspect="auto",
        interpolation="none",
        origin="upper" if vectors else "lower",
    )
    axes.set_title(panel.title, loc="left", fontsize=8.5, color=INK, pad=4)
    axes.tick_params(colors=SOFT, labelsize=7, length=2.5, width=0.6)
    for spine in axes.spines.values():
        spine.set(color=LINE, linewidth=0.6)
    slots = len(panel.image)
    axes.set_yticks([] if vectors else range(0, slots, max(1, slots // 4)))
    if not vectors:
        axes.set_ylabel("slot", fontsize=7.5, color=SOFT)
    return drawn


def _mark_time(axes: "Axes", traced: Traced, panel: Panel, *, lowest: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    if traced.labels:
        labels = traced.labels if is_last(panel) else ()
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
        axes.tick_params(labelbottom=lowest)
    if lowest:
        axes.set_xlabel("token" if traced.labels else "step", fontsize=7.5, color=SOFT)


def _show_scale(page: "Figure", drawn: "ScalarMappable", box: tuple[float, float, float, float]) -> None:
    bar = page.colorbar(drawn, cax=page.add_axes(box), ticks=[0, 0.1, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "0.1", "0.25", "0.5", "1"])
    bar.ax.tick_params(colors=SOFT, labelsize=6.5, length=2, width=0.6)
    bar.outline.set(color=LINE, linewidth=0.6)


def _say(page: "Figure", text: str, left: float, top: float, **style: Any) -> None:
    width, height = page.get_size_inches()
    whole: dict[str, Any] = {"color": INK, "verticalalignment": "top", **style}
    page.text(left / width, top / height, text, fontdict=None, **whole)


def _box(page: "Figure", left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
    wide, high = page.get_size_inches()
    return left / wide, bottom / high, width / wide, height / high
