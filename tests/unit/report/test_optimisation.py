import json
from xml.etree import ElementTree

from everlong.report.optimisation import drawable, optimisation_figures, optimisation_page

LINES = [
    {"step": 1, "loss": 5.0},
    {"step": 2, "age_gradient_1": 0.5, "age_gradient_4": 0.01, "age_gradient_16": 0.0, "source_gradient_targets": 2.0},
    {
        "step": 4,
        "age_gradient_1": 0.25,
        "age_gradient_4": None,
        "update_ratio_cells": 1e-3,
        "time_scale_q50_layer_0": 9,
    },
]


def test_there_is_a_chart_for_every_kind_of_figure_and_a_line_for_every_name() -> None:
    figures = optimisation_figures(LINES)
    assert [figure.title for figure in figures] == [
        "Gradient by age",
        "How long units remember",
        "Gradients by source of loss",
        "Size of updates",
    ]
    assert figures[0].legend == [("step 2", "tone-0"), ("step 4", "tone-1")]
    for figure in figures:
        marks = [node for node in ElementTree.fromstring(figure.svg).iter() if node.tag == "circle"]
        # Neither 0 nor what was not finite has a place on a logarithmic axis.
        assert len(marks) == (3 if figure.title == "Gradient by age" else 1)


def test_a_run_that_was_not_diagnosed_has_no_charts_and_no_page() -> None:
    assert optimisation_figures(LINES[:1]) == []
    assert optimisation_page("run", json.dumps(LINES[0]) + "\n") is None


def test_the_page_asks_for_nothing() -> None:
    page = optimisation_page("run", "".join(json.dumps(line) + "\n" for line in LINES))
    assert page is not None
    text = page.decode()
    assert text.count("<svg") == 4
    assert "tone-5 { --tone" in text
    assert "http" not in text


def test_only_what_has_a_logarithm_is_drawn() -> None:
    assert drawable([(1, 0.0), (2, None), (3, 0.5)]) == [(3, 0.5)]
