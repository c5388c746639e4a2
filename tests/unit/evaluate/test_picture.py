"""Pictures: what each panel shows, that all share one axis of time, and files that are the same each time."""

import importlib.util
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everlong.data.synthetic import Episode
from everlong.errors import ConfigError, RunError
from everlong.evaluate.panels import (
    BLACK,
    FALSE,
    MISSED,
    NOT_ASKED,
    PAPER,
    Phase,
    answer_image,
    answer_rows,
    panels_of,
    phases_of,
)
from everlong.evaluate.picture import LONGEST, SHORTEST, TOKEN, draw, time_inches
from everlong.evaluate.picture_file import require_drawable, write_picture
from everlong.evaluate.trace import Trace
from everlong.evaluate.traced import Traced
from everlong.shapes import IGNORE


def made(*, steps: int, slots: int, reads: int, writes: int = 1, tokens: str = "", used: bool = False) -> Traced:
    """A sequence half of which is asked for, or a text, with weights at random."""
    rng = torch.Generator().manual_seed(0)

    def weights(heads: int) -> torch.Tensor:
        return torch.rand(steps, heads, slots, generator=rng).softmax(dim=-1)

    targets = torch.randint(2, (steps, 2), generator=rng).float()
    targets[: steps // 2] = IGNORE
    episode = None if tokens else Episode(inputs=torch.randn(steps, 3, generator=rng), targets=targets)
    return Traced(
        name="a sequence",
        trace=Trace(
            answers=torch.randn(steps, 2, generator=rng),
            writes=weights(writes),
            reads=weights(reads),
            usage=torch.rand(steps, slots, generator=rng) if used else None,
        ),
        episode=episode,
        labels=tuple(tokens),
    )


def test_panels_are_vectors_then_writes_then_reads_then_usage() -> None:
    traced = made(steps=6, slots=4, reads=2, used=True)
    panels = panels_of(traced)
    assert [panel.title for panel in panels] == [
        "input vectors (numbers below 0 are green)",
        "wanted answers",
        "given answers (what is wrong is red)",
        "write weights",
        "read weights, head 1 of 2",
        "read weights, head 2 of 2",
        "usage of the slots",
    ]
    assert all(panel.image.shape[1] == 6 for panel in panels)
    assert np.array_equal(panels[3].image, traced.trace.writes[:, 0].numpy().T)
    assert np.array_equal(panels[5].image, traced.trace.reads[:, 1].numpy().T)
    assert [panel.title for panel in panels_of(made(steps=3, slots=4, reads=1, tokens="abc"))] == [
        "write weights",
        "read weights",
    ]


def test_wrong_bits_are_red_and_right_ones_as_dark_as_they_are_likely() -> None:
    wanted = torch.tensor([[IGNORE], [1.0], [0.0], [1.0], [0.0]])
    given = torch.tensor([[0.9], [1.0], [0.0], [0.4], [0.6]])
    image = answer_image(given, given > 0.5, wanted)
    assert image.shape == (1, 5, 3)
    np.testing.assert_allclose(image[0], [NOT_ASKED, BLACK, PAPER, MISSED, FALSE], atol=1e-6)


def test_choices_are_shown_one_row_each() -> None:
    targets, logits = torch.tensor([[1.0], [IGNORE]]), torch.tensor([[0.0, 3.0, 0.0], [1.0, 2.0, 3.0]])
    rows = answer_rows(targets, logits)
    assert rows.wanted.tolist() == [[0.0, 1.0, 0.0], [IGNORE] * 3]
    assert rows.guessed.tolist() == [[False, True, False], [False, False, True]]
    torch.testing.assert_close(rows.given, logits.softmax(dim=-1))
    bits = answer_rows(targets, logits[:, :1] - 0.5)
    assert torch.equal(bits.wanted, targets)
    assert bits.guessed.tolist() == [[False], [True]]
    torch.testing.assert_close(bits.given, (logits[:, :1] - 0.5).sigmoid())


def test_phases_are_stretches_of_asking() -> None:
    traced = made(steps=6, slots=4, reads=1)
    assert phases_of(traced) == [Phase(first=0, end=3, asked=False), Phase(first=3, end=6, asked=True)]
    assert phases_of(made(steps=3, slots=4, reads=1, tokens="abc")) == []


@pytest.mark.parametrize(("steps", "inches"), [(3, SHORTEST), (50, 8.0), (5000, LONGEST)])
def test_time_takes_a_page_at_most(steps: int, inches: float) -> None:
    assert time_inches(made(steps=steps, slots=2, reads=1)) == pytest.approx(inches)


def test_every_token_has_room_for_its_label() -> None:
    assert time_inches(made(steps=250, slots=2, reads=1, tokens="a" * 250)) == pytest.approx(250 * TOKEN)


@pytest.mark.parametrize(("steps", "tokens"), [(250, ""), (40, "x" * 40)], ids=["vectors", "tokens"])
def test_eight_heads_of_128_slots_share_one_axis_of_time(steps: int, tokens: str) -> None:
    traced = made(steps=steps, slots=128, reads=8, writes=2, tokens=tokens, used=True)
    page = draw([traced, traced], "two of them")
    panels = [axes for axes in page.axes if axes.images]
    assert len(panels) == 2 * (len(panels_of(traced)))
    lefts = {(round(axes.get_position().x0, 6), round(axes.get_position().x1, 6)) for axes in panels}
    assert len(lefts) == 1
    assert {axes.get_xlim() for axes in panels} == {(-0.5, steps - 0.5)}
    bottoms = [axes.get_position().y0 for axes in panels]
    assert bottoms == sorted(bottoms, reverse=True)
    assert all(above.get_position().y0 > below.get_position().y1 for above, below in pairwise(panels))
    # Two scales a sequence, beside its first panels of writes and of reads.
    assert len(page.axes) - len(panels) == 4
    boundaries = [line.get_xdata()[0] for axes in panels for line in axes.lines]
    assert boundaries == ([] if tokens else [124.5] * len(panels))


def test_an_svg_is_the_same_each_time_and_says_its_words(tmp_path: Path) -> None:
    examples = [made(steps=6, slots=4, reads=1, tokens="$a$船<&")]
    for name in ("one.svg", "two.SVG"):
        write_picture(tmp_path / name, examples, "ntm, runs/a$b$")
    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.SVG"))
    assert one == two
    words = re.findall(r">([^<>\n]+)</text>", one.decode())
    for word in ("ntm, runs/a$b$", "a sequence", "write weights", "read weights", "slot", "token", "船", "&lt;", "$"):
        assert word in words
    assert one.count(b"<image") >= 2


def test_a_png(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", [made(steps=6, slots=4, reads=1)], "ntm")
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    assert int.from_bytes(data[16:20], "big") > SHORTEST * 160


def test_a_page_needs_no_other_file(tmp_path: Path) -> None:
    traced = made(steps=6, slots=4, reads=1)
    write_picture(tmp_path / "a.html", [traced, traced], "ntm <runs>")
    page = (tmp_path / "a.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<h1>ntm &lt;runs&gt;</h1>" in page
    assert (page.count("<svg "), page.count("<figure>"), page.count("<?xml"), page.count("DTD SVG")) == (2, 2, 0, 0)
    linked = re.findall(r'(?:href|src)="([^#"][^"]{0,9})', page)
    assert linked
    assert set(linked) == {"data:image"}


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot write"):
        write_picture(tmp_path / "no" / "a.svg", [made(steps=2, slots=2, reads=1)], "ntm")


@pytest.mark.parametrize("name", ["a.gif", "a", "svg"])
def test_an_unknown_format(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} is no picture that can be drawn\. Give a name that ends in \.svg"):
        require_drawable(Path(name))


def test_drawing_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        assert name == "matplotlib"

    require_drawable(Path("a.svg"))
    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(ConfigError, match=r'the picture needs matplotlib, .* Run pip install "everlong\[report\]"'):
        require_drawable(Path("a.svg"))
