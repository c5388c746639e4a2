"""How an optimisation went, from a run's metrics: the page that a diagnosed run leaves, and its charts for others.

age_gradient_K            how much of a token's loss reaches the memory of K tokens before
source_gradient_S         gradient norms by source of loss
update_ratio_G            how far each group of weights moves in an update, as a part of its size
time_scale_qP_layer_N     tokens that the units of a layer remember, here the median
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from everlong.report.charts import Axis, Point, Series, decade_axis, doubling_axis, line_chart, span_axis
from everlong.report.page import render

PAGE = "optimisation.html"
STYLES = 6
"""Classes ``tone-0`` to ``tone-5`` colour the lines; further lines begin again with the first."""

Line = Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its heading, what it says, and the names and classes of its lines."""

    title: str
    text: str
    svg: str
    legend: Sequence[tuple[str, str]]


def optimisation_page(name: str, metrics: str) -> bytes | None:
    """The page of a run, from the text of its metrics file; ``None`` where nothing was diagnosed."""
    figures = optimisation_figures([json.loads(line) for line in metrics.splitlines()])
    if not figures:
        return None
    content = {"run": name, "figures": figures, "styles": STYLES}
    return render("everlong.report", "optimisation.html.jinja", content)


def optimisation_figures(lines: Sequence[Line]) -> list[Figure]:
    """The charts of what was diagnosed, from the lines of a metrics file; none where nothing was."""
    return [
        figure
        for figure in (
            age_figure(lines),
            step_figure(lines, "time_scale_q50_", title="How long units remember", label="tokens, median unit",
                        text="1 / (1 - f) of the forget or update gates f, measured on the text being read."),
            step_figure(lines, "source_gradient_", title="Gradients by source of loss", label="gradient norm",
                        text="Before clipping. A source that outweighs others decides what is left of them."),
            step_figure(lines, "update_ratio_", title="Size of updates", label="|w' - w| / |w|",
                        text="About 1e-3 is usual; a group far below others learns nothing, one far above is rash."),
        )
        if figure is not None
    ]  # fmt: skip


def age_figure(lines: Sequence[Line]) -> Figure | None:
    """Gradient by age at the first diagnosis, the middle one and the last."""
    prefix = "age_gradient_"
    told = [line for line in lines if any(name.startswith(prefix) for name in line)]
    chosen = [told[n] for n in sorted({0, len(told) // 2, len(told) - 1})] if told else []
    curves = {
        f"step {line['step']:,}": sorted(
            (int(name.removeprefix(prefix)), value) for name, value in line.items() if name.startswith(prefix)
        )
        for line in chosen
    }
    return _figure(
        {name: drawable(points) for name, points in curves.items()},
        title="Gradient by age",
        text="How much of a token's loss reaches the memory of K tokens before. Where none does, none is learned.",
        x=lambda ages: doubling_axis("age in tokens", low=1, high=max(2, int(max(ages)))),
        label="gradient norm",
    )


def step_figure(lines: Sequence[Line], prefix: str, *, title: str, text: str, label: str) -> Figure | None:
    """Figures of one kind against steps, a line for each name."""
    names = dict.fromkeys(name for line in lines for name in line if name.startswith(prefix))
    curves = {
        name.removeprefix(prefix): drawable([(line["step"], line[name]) for line in lines if name in line])
        for name in names
    }
    return _figure(curves, title=title, text=text, x=lambda steps: span_axis("updates", max(steps)), label=label)


def drawable(points: Sequence[tuple[float, float | None]]) -> list[Point]:
    """The points that have a logarithm."""
    return [(at, value) for at, value in points if value is not None and value > 0]


def _figure(
    curves: Mapping[str, list[Point]], *, title: str, text: str, x: Callable[[Sequence[float]], Axis], label: str
) -> Figure | None:
    drawn = {name: points for name, points in curves.items() if points}
    if not drawn:
        return None
    every = [point for points in drawn.values() for point in points]
    styles = {name: f"tone-{n % STYLES}" for n, name in enumerate(drawn)}
    svg = line_chart(
        [Series(name=name, style=styles[name], points=points) for name, points in drawn.items()],
        x=x([at for at, _ in every]),
        y=decade_axis(label, [value for _, value in every]),
        title=title,
    )
    return Figure(title=title, text=text, svg=svg, legend=list(styles.items()))
