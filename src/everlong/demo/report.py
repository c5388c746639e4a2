"""The page that the demo leaves behind: one file, no requests, light and dark."""

import platform
from typing import Any

from everlong.demo.book import AUTHOR, HELD_OUT, TITLE, YEAR, held_out_chapters, training_chapters
from everlong.demo.show import Showing
from everlong.evaluate import Evaluation
from everlong.report.charts import Point, Series, doubling_axis, line_chart, linear_axis, span_axis
from everlong.report.page import render
from everlong.storage import write_whole
from everlong.wording import bytes_text, duration_text

POINTS = 120
"""Points that a learning curve is thinned out to."""

READINGS = {
    "carried": "its own memory",
    "reset": "no memory",
    "other": "another chapter's memory",
}


def write_report(found: Showing) -> None:
    """Write ``report.html`` into the demo's folder.

    Raises:
        RunError: the disk is full.
    """
    write_whole(found.report, render("everlong.demo", "report.html.jinja", content(found)))


def content(found: Showing) -> dict[str, Any]:
    """Every word and picture of the page."""
    measured, other = found.evaluation, found.evaluation.bits_per_byte_other
    return {
        "title": TITLE,
        "author": AUTHOR,
        "year": YEAR,
        "learned": f"1 to {len(training_chapters())}",
        "held_out": f"{held_out_chapters()[0].number} to {held_out_chapters()[-1].number}",
        "n_held_out": HELD_OUT,
        "chunk": measured.chunk,
        "tiles": _tiles(measured),
        "gain": measured.gain,
        "gain_percent": 100 * measured.gain / measured.bits_per_byte_reset,
        "gain_error": measured.gain_error,
        "gain_other": None if other is None else measured.bits_per_byte_reset - other,
        "positions": position_chart(measured),
        "curve": curve_chart(found),
        "rows": _rows(measured),
        "chapters": _chapters(measured),
        "story": found.story,
        "read_tail": found.story.read[-420:].partition(" ")[2],
        "facts": _facts(found),
        "run": found.folder / "run",
        "memory": found.folder / "story.memory",
    }


def position_chart(measured: Evaluation) -> str:
    """Bits per byte against how much of the chapter was read, for each reading, from where they can differ on."""
    rows = [row for row in measured.by_position if row.first >= measured.chunk] or measured.by_position
    lines = {
        reading: [
            # The middle of a bucket, on a scale of ratios.
            ((row.first * (row.last + 1)) ** 0.5, bits)
            for row in rows
            if (bits := row.bits.per_byte(reading)) is not None
        ]
        for reading in ("other", "reset", "carried")
    }
    values = [bits for points in lines.values() for _, bits in points]
    return line_chart(
        [Series(name=READINGS[reading], style=reading, points=points) for reading, points in lines.items()],
        x=doubling_axis("bytes of the chapter read before", low=rows[0].first, high=rows[-1].last + 1),
        y=linear_axis("bits per byte", values),
        title="Bits per byte by position in the chapter, with and without memory",
    )


def curve_chart(found: Showing) -> str:
    """Bits per byte while training went on."""
    train, held_out = thinned(found.curve.train), found.curve.held_out
    minutes = [(seconds / 60, bits) for seconds, bits in train]
    measured = [(seconds / 60, bits) for seconds, bits in held_out]
    both = minutes + measured
    return line_chart(
        [
            Series(name="learned chapters", style="train", points=minutes, marked=False),
            Series(name="held-out chapters", style="carried", points=measured),
        ],
        x=span_axis("minutes of training", max(at for at, _ in both)),
        y=linear_axis("bits per byte", [bits for _, bits in both]),
        title="Bits per byte while training went on",
    )


def thinned(points: list[Point]) -> list[Point]:
    """Means of successive points, at most `POINTS` of them: single updates are too noisy to look at."""
    group = -(-len(points) // POINTS)
    groups = [points[at : at + group] for at in range(0, len(points), group)] if points else []
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in groups]


def _tiles(measured: Evaluation) -> list[dict[str, Any]]:
    values = {
        "carried": measured.bits_per_byte,
        "reset": measured.bits_per_byte_reset,
        "other": measured.bits_per_byte_other,
    }
    notes = {
        "carried": "what it has read of the chapter, carried along",
        "reset": f"everything forgotten after each {measured.chunk} bytes",
        "other": "just as full, but of another text",
    }
    return [
        {"style": reading, "name": READINGS[reading], "value": value, "note": notes[reading]}
        for reading, value in values.items()
    ]


def _rows(measured: Evaluation) -> list[dict[str, Any]]:
    return [{"name": f"{row.first:,} to {row.last:,}", **row.bits.to_dict()} for row in measured.by_position]


def _chapters(measured: Evaluation) -> list[dict[str, Any]]:
    chapters = held_out_chapters()
    return [{"name": chapters[row.document].name, **row.bits.to_dict()} for row in measured.by_document]


def _facts(found: Showing) -> list[tuple[str, str]]:
    story, training = found.story, found.training
    return [
        ("Model", f"Transformer-XL, {found.parameters:,} parameters, trained from nothing"),
        ("Text", f"{found.train_bytes:,} bytes to learn from, {found.held_out_bytes:,} held out"),
        (
            "Training",
            f"{training.step:,} steps in {duration_text(training.seconds)} min, "
            f"{found.tokens_per_second:,.0f} bytes a second",
        ),
        ("Measuring", f"{found.evaluation.total.n_bytes:,} bytes, four times, in {found.evaluation.seconds:.1f} s"),
        ("A session", f"{bytes_text(story.session_bytes)} of memory, however long it goes on"),
        ("Its file", f"{bytes_text(story.file_bytes)}, sealed with a checksum"),
        ("Writing", f"{story.tokens_per_second:,.0f} bytes a second"),
        ("New process", f"started, loaded and wrote in {story.restart_seconds:.1f} s"),
        ("Everything", f"{duration_text(found.seconds)} min on {platform.machine()}, {_threads_text(found.threads)}"),
    ]


def _threads_text(threads: int) -> str:
    return f"{threads} thread{'s' if threads > 1 else ''}"
