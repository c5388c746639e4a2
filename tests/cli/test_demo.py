"""The demo: its book, its pictures, its page, and the whole of it in miniature."""

import dataclasses
import re
import time
from pathlib import Path

import pytest
import torch

from everlong.cli.demo import free_folder, summary
from everlong.demo.book import chapters, held_out_chapters, training_chapters
from everlong.demo.report import thinned, write_report
from everlong.demo.settings import training
from everlong.demo.show import Curve, Showing, show
from everlong.demo.story import Story, write_in_new_process
from everlong.demo.threads import fastest, fastest_threads
from everlong.errors import RunError
from everlong.evaluate import Bits, DocumentBits, Evaluation, PositionBits
from everlong.models import create_model
from everlong.train import Progress, Result

TINY = {"d_model": 16, "n_layers": 1, "n_heads": 2, "d_ff": 16, "segment": 32, "mem_len": 32}


def bits(n_bytes: int, *, other: float | None = 4.0) -> Bits:
    return Bits(n_tokens=n_bytes, n_bytes=n_bytes, carried=2.0 * n_bytes, reset=3.0 * n_bytes,
                other=None if other is None else other * n_bytes)  # fmt: skip


@pytest.fixture
def found(tmp_path: Path) -> Showing:
    rows = [(1, 15), (16, 31), (32, 63), (64, 127)]
    return Showing(
        folder=tmp_path,
        parameters=1234,
        threads=2,
        train_bytes=1000,
        held_out_bytes=400,
        tokens_per_second=100.0,
        training=Result(
            step=10, seconds=60.0, loss=1.0, best_bits=2.0, best_step=10, ending="minutes", checkpoint=tmp_path
        ),
        curve=Curve(train=[(float(n), 8 / (n + 1)) for n in range(500)], held_out=[(100.0, 3.0), (499.0, 2.5)]),
        evaluation=Evaluation(
            total=bits(400),
            by_position=tuple(PositionBits(first=a, last=b, bits=bits(b - a + 1)) for a, b in rows),
            by_document=tuple(DocumentBits(document=n, bits=bits(100 + n)) for n in range(4)),
            lanes=4,
            chunk=128,
            memory_bytes=2048,
            seconds=3.0,
        ),
        story=Story(
            read="Jim <b>read</b> & read",
            written='"Aye," said <script>Silver</script>',
            written_again='"Aye," said <script>Silver</script>',
            tokens_read=20,
            session_bytes=4096,
            file_bytes=5000,
            tokens_per_second=200.0,
            restart_seconds=4.0,
        ),
        seconds=90.0,
    )


def test_the_book_is_whole() -> None:
    assert [chapter.number for chapter in chapters()] == list(range(1, 35))
    assert training_chapters() + held_out_chapters() == chapters()
    assert held_out_chapters()[0].number == 31
    assert sum(len(chapter.text) for chapter in chapters()) > 350_000
    assert all(chapter.text.startswith(chapter.title) for chapter in chapters())
    assert not any("PART " in chapter.text for chapter in chapters())


def test_the_page_is_one_file_that_asks_for_nothing(found: Showing) -> None:
    write_report(found)
    page = found.report.read_text()
    assert not re.search(r"(src|href)\s*=|url\(|@import|<script|<link", page)
    assert page.count("<svg") == 2
    assert "2.000" in page
    assert "3.000" in page
    assert "wrote the same" in page
    assert "&lt;script&gt;Silver" in page
    for style in ("prefers-color-scheme: dark", "viewport"):
        assert style in page


def test_the_page_admits_failure(found: Showing) -> None:
    story = dataclasses.replace(found.story, written_again="something else")
    failed = dataclasses.replace(found, story=story)
    write_report(failed)
    assert "wrote something else" in failed.report.read_text()
    assert "did not survive" in summary(failed)
    assert not failed.to_dict()["same_continuation"]


def test_the_page_does_without_a_second_document(found: Showing) -> None:
    evaluation = dataclasses.replace(
        found.evaluation,
        total=bits(400, other=None),
        by_position=(PositionBits(first=1, last=15, bits=bits(15, other=None)),),
        by_document=(DocumentBits(document=0, bits=bits(400, other=None)),),
    )
    alone = dataclasses.replace(found, evaluation=evaluation)
    write_report(alone)
    assert "–" in alone.report.read_text()
    assert "another's" not in summary(alone)


def test_a_long_curve_is_thinned_to_means() -> None:
    points = thinned([(float(n), float(n % 2)) for n in range(1000)])
    assert len(points) <= 120
    assert all(abs(y - 0.5) < 0.1 for _, y in points[:-1])
    assert thinned([]) == []


def test_a_folder_of_ones_own_is_found_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_folder(None) == Path("demo")
    (tmp_path / "demo").mkdir()
    assert free_folder(None) == Path("demo")
    (tmp_path / "demo" / "x").touch()
    assert free_folder(None) == Path("demo-2")
    with pytest.raises(RunError, match="is in use: there is something in it"):
        free_folder(Path("demo"))


def test_the_fastest_number_of_threads_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlong.demo.threads.TRY", 0.01)
    chosen: list[int] = []
    pace = {2: 0.004, 1: 0.001}
    found = fastest(lambda: time.sleep(pace[chosen[-1]]), candidates=[2, 1], choose=chosen.append)
    assert (found, chosen) == (1, [2, 1])
    assert fastest(lambda: pytest.fail("nothing to compare"), candidates=[1], choose=chosen.append) == 1


def test_trying_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlong.demo.threads.TRY", 0.01)
    torch.set_num_threads(2)
    model = create_model("gru", d_model=8, n_layers=1)
    before = model.weights_digest()
    assert fastest_threads(model, lanes=2, chunk=4) in (1, 2)
    assert torch.get_num_threads() == 2
    assert model.weights_digest() == before
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.slow
def test_a_new_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the new process failed: everlong: there is no folder"):
        write_in_new_process(tmp_path / "no", tmp_path / "no.memory", threads=1)


@pytest.mark.slow
def test_the_demo_in_miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everlong.demo.story.LENGTH", 50)
    told: list[str] = []
    seen: list[Progress] = []
    few = training(minutes=1.0).replace(steps=3, chunk=32, lanes=4, eval_tokens=512)
    small = show(
        tmp_path / "demo",
        training=few,
        threads=1,
        tell=told.append,
        report=seen.append,
        model_fields=TINY,
    )
    write_report(small)
    assert small.story.same
    assert small.to_dict()["same_continuation"]
    assert len(small.evaluation.by_document) == 4
    assert small.evaluation.bits_per_byte_other is not None
    assert small.report.stat().st_size > 10_000
    assert (tmp_path / "demo" / "story.memory").is_file()
    assert "new process" in told[-1]
    assert [now.step for now in seen] == [1, 2, 3]
