"""The page of a comparison: its pictures, tables and words."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from everlong.compare.figures import Figures, Moment, RunFigures
from everlong.compare.verdict import interval
from everlong.compare.words import WORDS, Language, summary
from everlong.data.synthetic import RULES
from everlong.report.charts import Axis, Point, Series, decade_axis, doubling_axis, line_chart, linear_axis, span_axis
from everlong.report.intervals import Row, interval_chart
from everlong.report.page import render

COLOURS = 8
"""Models that have a colour of their own; the next ones have the same, and dotted lines."""
SKIPPED = 0.1
"""Part of a learning curve, at its beginning, that is left out: it would flatten the rest."""
NONE = "–"

Cells = Sequence[str]
Picture = tuple[str, str]
"""A title, where there is more than one picture, and SVG."""


@final
@dataclass(frozen=True)
class Table:
    """A table that says the same as a picture: names of columns, and rows."""

    columns: Cells
    rows: Sequence[Cells]


def write_page(figures: Figures, language: Language) -> bytes:
    """The whole page, in one file that asks for nothing."""
    return render("everlong.compare", "report.html.jinja", content(figures, language))


def content(figures: Figures, language: Language) -> dict[str, Any]:
    """Every word, picture and table of the page."""
    words = WORDS[language]
    here = _Page(figures, words)
    return {
        "w": words,
        "lead": here.lead(),
        "summary": summary(figures, language),
        "legend": [(name, style_of(figures, name)) for name in figures.names],
        "sections": [section for section in here.sections() if section["pictures"] or section["table"]],
        "terms": here.terms(),
    }


def style_of(figures: Figures, model: str) -> str:
    """The class that colours a model."""
    place = figures.names.index(model)
    return f"tone-{place % COLOURS}" + (" dotted" if place >= COLOURS else "")


class _Page:
    def __init__(self, figures: Figures, words: Mapping[str, str]) -> None:
        self.figures, self.words = figures, words
        self.models = [name for name in figures.names if figures.of(name)]
        self.training: Mapping[str, Any] = figures.terms["training"]

    def lead(self) -> str:
        words, seeds, data = self.words, self.figures.terms["seeds"], self.figures.data
        *most, last = self.figures.names
        return words["lead"].format(
            models=words["list"].join(most) + (words["and"] if most else "") + last,
            tokens=words["tokens"].format(n=data["n_tokens"]),
            tokenizer=data["tokenizer"],
            budget=self.budget(),
            seeds=words["seeds" if seeds[1:] else "seed"].format(seeds=words["list"].join(map(str, seeds))),
            n_bytes=f"{data['n_held_out_bytes']:,}",
        )

    def budget(self) -> str:
        if operations := self.figures.terms["operations"]:
            return self.words["trillions"].format(n=operations / 1e12)
        name = "minutes" if self.training["minutes"] else "steps"
        return self.words[name].format(n=self.training[name])

    def sections(self) -> list[dict[str, Any]]:
        words, chunk = self.words, self.figures.chunk
        rounds = len(self.figures.models[0].reading) if self.figures.models else 0

        def section(key: str, pictures: Sequence[Picture], table: Table | None, **said: object) -> dict[str, Any]:
            note = words.get(f"{key}-note", "").format(**said)
            return {
                "title": words[key].format(**said),
                "note": note,
                "pictures": pictures,
                "table": table,
                "open": not pictures,
            }

        return [
            section("quality", self.quality_chart(), self.quality_table()),
            section("places", self.place_chart(), self.place_table(), chunk=chunk),
            section("learning", self.learning_charts(), self.learning_table()),
            section("costs", [], self.cost_table(), rounds=rounds),
            section("cost", self.stretch_chart(), self.stretch_table()),
            *(
                section("probe", self.probe_chart(probe), self.probe_table(probe), name=probe, mark=self.mark(probe))
                for probe in self.figures.probes
            ),
            section("runs", [], self.run_table()),
        ]

    def quality_chart(self) -> list[Picture]:
        rows: list[Row] = []
        for name in self.models:
            values = [run.text.carried for run in self.figures.of(name) if run.text]
            found = interval(values)
            low, high = (found.low, found.high) if found.known else (None, None)
            rows.append(Row(name=name, style=style_of(self.figures, name), values=values, low=low, high=high))
        values = [value for row in rows for value in row.values]
        if not values:
            return []
        x = linear_axis(self.words["bits"], values)
        return [("", interval_chart(rows, x=x, title=self.words["quality-title"]))]

    def quality_table(self) -> Table:
        words, rows = self.words, list[Cells]()
        for name in self.models:
            texts = [run.text for run in self.figures.of(name) if run.text]
            found = interval([text.carried for text in texts])
            others = [text.other for text in texts if text.other is not None]
            rows.append(
                [
                    name,
                    _bits(found.mean),
                    f"{_bits(found.low)} – {_bits(found.high)}" if found.known else NONE,
                    _bits(statistics.fmean(text.reset for text in texts)),
                    _bits(statistics.fmean(others)) if others else NONE,
                    _bits(statistics.fmean(text.gain for text in texts)),
                ]
            )
        reset = words["reset"].format(chunk=self.figures.chunk)
        return Table(
            [words[n] for n in ("model", "carried", "interval")] + [reset, words["other"], words["gain"]], rows
        )

    def place_chart(self) -> list[Picture]:
        lines: list[Series] = []
        edges = [place for place in self.places() if place[0] > 1]
        for dashed, reading in ((" dashed", "reset"), ("", "carried")):
            for name in self.models:
                points = [((first * (last + 1)) ** 0.5, self.bits_at(name, first, reading)) for first, last in edges]
                style = style_of(self.figures, name) + dashed
                lines.append(Series(name=f"{name}, {self.words[reading].format(chunk=self.training['chunk'])}",
                                    style=style, points=points, marked=not dashed))  # fmt: skip
        if not edges or not self.models:
            return []
        x = doubling_axis(self.words["before"], low=edges[0][0], high=edges[-1][1] + 1)
        return [("", _lines(lines, x=x, y_label=self.words["bits"], title=self.words["places-title"]))]

    def place_table(self) -> Table:
        columns = [self.words["before"]]
        for name in self.models:
            columns += [name, f"{name}, {self.words['reset'].format(chunk=self.training['chunk'])}"]
        rows = [
            [f"{first:,} – {last:,}"]
            + [_bits(self.bits_at(name, first, r)) for name in self.models for r in ("carried", "reset")]
            for first, last in self.places()
        ]
        return Table(columns, rows)

    def places(self) -> list[tuple[int, int]]:
        """The stretches of positions that all runs were measured at: the text is the same."""
        text = next((run.text for name in self.models for run in self.figures.of(name) if run.text), None)
        return [(place.first, place.last) for place in text.places] if text else []

    def bits_at(self, model: str, first: int, reading: str) -> float:
        """The mean over the seeds."""
        texts = [run.text for run in self.figures.of(model) if run.text]
        return statistics.fmean(
            getattr(place, reading) for text in texts for place in text.places if place.first == first
        )

    def learning_charts(self) -> list[Picture]:
        words = self.words
        return [
            chart
            for title, label, along in (
                ("by-tokens", "thousand-tokens", thousand_tokens),
                ("by-time", "minutes-axis", minutes),
                ("by-operations", "operations", trillions),
            )
            for chart in self.learning_chart(words[title], words[label], along)
        ]

    def learning_chart(self, title: str, label: str, along: Callable[[Moment], float]) -> list[Picture]:
        runs = [run for name in self.models for run in self.figures.of(name) if run.curve]
        if not runs:
            return []
        end = max(along(run.curve[-1]) for run in runs)
        lines = [
            Series(
                name=self.run_name(run),
                style=style_of(self.figures, run.model),
                points=[(along(m), m.bits) for m in run.curve if along(m) >= SKIPPED * along(run.curve[-1])],
                marked=False,
            )
            for run in runs
        ]
        return [(title, _lines(lines, x=span_axis(label, end), y_label=self.words["bits"], title=title))]

    def learning_table(self) -> Table:
        runs = [run for name in self.models for run in self.figures.of(name) if run.curve]
        parts = (0.25, 0.5, 0.75, 1.0)
        rows = [
            [self.run_name(run), *(_bits(run.curve[int(part * (len(run.curve) - 1))].bits) for part in parts)]
            for run in runs
        ]
        return Table([self.words["run"], *(f"{part:.0%}" for part in parts)], rows)

    def cost_table(self) -> Table:
        words, rows = self.words, list[Cells]()
        for model in self.figures.models:
            speeds = [run.tokens_per_second for run in self.figures.of(model.model)]
            rows.append(
                [
                    model.model,
                    f"{model.parameters:,}",
                    f"{model.memory_bytes:,}",
                    words["unbounded"] if model.reach is None else f"{model.reach:,}",
                    f"{statistics.fmean(speeds):,.0f}",
                    f"{statistics.fmean(model.reading):,.0f}",
                    f"{statistics.fmean(model.decoding):,.0f}",
                ]
            )
        names = ("model", "parameters", "memory", "reach", "training-speed", "reading-speed", "decoding-speed")
        return Table([words[name] for name in names], rows)

    def stretch_chart(self) -> list[Picture]:
        lines = [
            Series(
                name=model.model,
                style=style_of(self.figures, model.model),
                points=[(one.end, statistics.median(one.microseconds)) for one in model.stretches],
            )
            for model in self.figures.models
        ]
        if not lines:
            return []
        ends = [one.end for one in self.figures.models[0].stretches]
        ticks = [(end, f"{end // 1024}k") for end in ends]
        x = Axis(label=self.words["before"], low=ends[0], high=ends[-1], ticks=ticks, logarithmic=True)
        y = decade_axis(self.words["microseconds"], [value for line in lines for _, value in line.points])
        return [("", line_chart(lines, x=x, y=y, title=self.words["cost-title"]))]

    def stretch_table(self) -> Table | None:
        if not self.figures.models:
            return None
        rows = [
            [model.model, *(f"{statistics.median(one.microseconds):,.1f}" for one in model.stretches)]
            for model in self.figures.models
        ]
        ends = [f"{one.end:,}" for one in self.figures.models[0].stretches]
        return Table([f"{self.words['microseconds']} · {self.words['before']}", *ends], rows)

    def probe_chart(self, probe: str) -> list[Picture]:
        lines = [
            Series(name=name, style=style_of(self.figures, name), points=self.accuracies(name, probe))
            for name in self.figures.names
            if self.figures.of(name, probe)
        ]
        marks = [at for line in lines for at, _ in line.points]
        if not marks:
            return []
        x = doubling_axis(self.mark(probe), low=int(min(marks)), high=int(max(*marks, 2 * min(marks))))
        y = linear_axis(self.words["accuracy"], [0.0, 1.0])
        return [
            ("", line_chart(lines, x=x, y=y, title=self.words["probe-title"].format(name=probe, mark=self.mark(probe))))
        ]

    def probe_table(self, probe: str) -> Table:
        names = [name for name in self.figures.names if self.figures.of(name, probe)]
        found = {name: dict(self.accuracies(name, probe)) for name in names}
        marks = sorted({at for own in found.values() for at in own})
        rows = [[f"{at:,.0f}", *(f"{found[name][at]:.1%}" for name in names)] for at in marks]
        return Table([self.mark(probe), *names], rows)

    def mark(self, probe: str) -> str:
        """What tells the answers of a probe's task apart."""
        return self.words[f"mark-{RULES[probe].mark}"]

    def accuracies(self, model: str, probe: str) -> list[Point]:
        """Mean accuracy over the seeds by the mark of the answer."""
        probed = [run.probed.by_mark for run in self.figures.of(model, probe) if run.probed]
        return [(at, statistics.fmean(own[at] for own in probed)) for at in sorted(probed[0])] if probed else []

    def run_table(self) -> Table:
        words = self.words
        names = ("run", "carried", "updates", "learned", "operations", "time", "best-step", "training-speed")
        rows: list[Cells] = []
        for run in self.figures.runs:
            if run.failure:
                rows.append([self.run_name(run), words["failed"].format(why=run.failure), *[NONE] * (len(names) - 2)])
                continue
            score = _bits(run.text.carried) if run.text else f"{run.probed.accuracy:.1%}" if run.probed else NONE
            rows.append(
                [
                    self.run_name(run),
                    score,
                    f"{run.steps:,}",
                    f"{run.tokens:,}" if run.text else NONE,
                    f"{run.operations / 1e12:.3g}",
                    f"{run.seconds / 60:.2f}",
                    NONE if run.best_step is None else f"{run.best_step:,}",
                    f"{run.tokens_per_second:,.0f}",
                ]
            )
        return Table([words[name] for name in names], rows)

    def run_name(self, run: RunFigures) -> str:
        seed = self.words["seed"].format(seeds=run.seed)
        return f"{run.model}, {seed}" + (f", {run.probe}" if run.probe else "")

    def terms(self) -> list[tuple[str, str]]:
        words, terms, data = self.words, self.figures.terms, self.figures.data
        own = [
            f"{name}.{key}={value}"
            for part in (terms["fields"], terms["own"])
            for name, fields in part.items()
            for key, value in fields.items()
        ]
        return [
            (words["data"], words["tokens"].format(n=data["n_tokens"])),
            (words["held-out"], words["tokens"].format(n=data["n_held_out_tokens"])),
            (words["tokenizer"], data["tokenizer"]),
            (words["batches"], words["batches-text"].format(**self.training)),
            (words["fields"], words["list"].join(own) or words["defaults"]),
            (words["machine"], self.figures.machine),
        ]


def thousand_tokens(moment: Moment) -> float:
    """How much was learned until then."""
    return moment.tokens / 1000


def minutes(moment: Moment) -> float:
    """How long that took."""
    return moment.seconds / 60


def trillions(moment: Moment) -> float:
    """What that took in operations."""
    return moment.operations / 1e12


def _lines(lines: Sequence[Series], *, x: Axis, y_label: str, title: str) -> str:
    y = linear_axis(y_label, [value for line in lines for _, value in line.points])
    return line_chart(lines, x=x, y=y, title=title)


def _bits(value: float) -> str:
    return f"{value:z.3f}"
