"""``everlong probe DIR --data PATH``: how far back a language model uses text; tables, figures, charts and refusals."""

import math
from pathlib import Path

import numpy as np
import pytest

from everlong.cli import main
from everlong.cli.text_probe import sentences
from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.errors import ConfigError
from everlong.evaluate import evaluate
from everlong.evaluate.text_probe import probe_text
from everlong.models import create_model
from everlong.report.page import require_chart
from tests.cli.support import CLI, train_words

CHINESE = "黛玉道：「船在海上。」寶玉聽了，笑道：「八塊銀幣！」\n" * 12


@pytest.fixture(scope="module")
def two(book: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An English and a Chinese text."""
    chinese = tmp_path_factory.mktemp("text") / "石頭記.txt"
    chinese.write_text(CHINESE, encoding="utf-8")
    return [book, chinese]


def test_figures_of_two_texts(cli: CLI, trained: Path, two: list[Path], tmp_path: Path) -> None:
    words = ["--limit", 2800, "--chunk", 8, "--out", tmp_path / "p.html"]
    ended = cli("probe", trained, "--json", *words, "--data", two[0], "--data", two[1])
    found = ended.answer
    assert (found["model"], found["task"], found["judge"]) == ("transformer-xl", "lm", None)
    # One layer of segments of 8 and a memory of 8 sees 15 back, and the first longer context is 16.
    assert [row["context"] for row in found["by_context"]] == [1, 2, 4, 8, 16, None]
    assert all(0 < row["bits_per_byte"] < 9 for row in found["by_context"])
    assert [row["share"] for row in found["effective_context"]] == [0.1, 0.5, 1.0]
    assert all(row["length"] in (1, 2, 4, 8, 16) for row in found["effective_context"])
    assert found["key_tokens"]["short"] == 8
    assert found["key_tokens"]["n_tokens"] == found["n_targets"]
    field = found["field"]
    assert (field["declared"], field["farthest"], field["exceeds"]) == (15, 15, False)
    assert [row["first"] for row in found["evaluation"]["by_position"]][:2] == [1, 16]
    assert found["evaluation"]["bits_per_byte_other"] is not None
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert page.count('<svg class="chart"') == 2
    assert "another document&#39;s memory" in page
    assert f"look at {tmp_path / 'p.html'}" in ended.err


def test_the_same_in_tables_and_a_picture(cli: CLI, trained: Path, book: Path, tmp_path: Path) -> None:
    ended = cli("probe", trained, "--data", book, "--limit", 600, "--chunk", 8, "--out", tmp_path / "p.svg")
    assert ended.code == 0
    for words in ("whole document", "Relative effective context: ", "Key tokens by the model itself", "own memory"):
        assert words in ended.out
    assert "Gradients reach 15 tokens back, of 256 read, and 99 % of their norm lies within " in ended.out
    assert "; declared bound: 15.\n" in ended.out
    picture = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg xmlns=")
    assert picture.count('<svg y="') == 2
    assert "var(" not in picture


def test_another_run_picks_the_key_tokens(cli: CLI, trained: Path, book: Path, tmp_path: Path) -> None:
    words = ["probe", trained, "--json", "--data", book, "--limit", 600, "--chunk", 8]
    alone, itself = (cli(*words, *more).answer for more in ([], ["--judge", trained]))
    assert itself["judge"] == str(trained)
    assert itself["key_tokens"] == alone["key_tokens"]
    other = tmp_path / "bpe"
    train(train_words(book, other, "--tokenizer", "bpe:270"))
    cli(*words, "--judge", other).require_refusal("bpe has another tokenizer, so its key tokens are not tokens of")
    cli(*words, "--judge", tmp_path / "no").require_refusal("there is no folder")


def train(words: list[object]) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code in (0, None)


def test_a_judge_picks_by_its_own_losses(two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Models that learned nothing have no key tokens by the paper's bounds.
    monkeypatch.setattr("everlong.evaluate.text_probe.is_key", np.greater)
    documents = [Document(path.name, path.read_text(encoding="utf-8")) for path in two]
    store = TokenStore.build(documents, ByteTokenizer(), tmp_path / "store")
    model, judge = (create_model("gru", d_model=8, n_layers=1) for _ in range(2))
    found = [
        probe_text(model, store, ByteTokenizer(), lanes=2, chunk=16, limit=300, longest=16, judge=picks)
        for picks in (None, model, judge)
    ]
    assert found[0].key == found[1].key
    assert found[0].by_context == found[2].by_context
    assert found[0].key.n_key != found[2].key.n_key


def test_the_last_row_is_the_carried_reading(two: list[Path], tmp_path: Path) -> None:
    documents = [Document(path.name, path.read_text(encoding="utf-8")) for path in two]
    store = TokenStore.build(documents, ByteTokenizer(), tmp_path / "store")
    model = create_model("gru", d_model=8, n_layers=1)
    found = probe_text(model, store, ByteTokenizer(), lanes=3, chunk=32, limit=store.n_tokens, longest=32)
    plain = evaluate(model, store, ByteTokenizer(), lanes=3, chunk=32)
    assert found.evaluation.total == plain.total
    # All tokens from the 32nd of a document on are targets, but for those that fill no block.
    assert found.n_targets == sum((len(store.document(i)) - 32) // 4 * 4 for i in (0, 1))
    late = [p.bits for p in plain.by_position if p.first >= 32]
    assert found.by_context[-1].context is None
    assert found.by_context[-1].bits == pytest.approx(sum(bits.carried for bits in late), rel=0.02)
    assert found.by_context[-1].n_bytes == found.n_targets
    assert math.isclose(found.by_context[-1].per_byte * found.n_targets, found.by_context[-1].bits)
    assert any("declared bound: none" in text for text in sentences(found, by="x"))


def test_a_matrix_is_drawn_unless_a_context_is_asked_for(cli: CLI, book: Path, tmp_path: Path) -> None:
    out, sizes = tmp_path / "dnc", ["d_model=8", "memory_slots=5", "slot_size=3", "save_every=0", "eval_every=0"]
    settings = [word for size in sizes for word in ("--set", size)]
    train(["train", "dnc", "--data", book, "--out", out, "--steps", 2, "--lanes", 2, "--chunk", 8, *settings])
    assert "sequences" in cli("probe", out, "--json", "--data", book, "--limit", 5).answer
    words = ["probe", out, "--json", "--data", book, "--limit", 200, "--chunk", 8, "--context", 16]
    found = cli(*words).answer
    assert [row["context"] for row in found["by_context"]] == [1, 2, 4, 8, 16, None]
    assert found["field"]["declared"] is None
    cli("probe", out, "--data", book, "--chunk", 8).require_refusal("no use for --chunk", "Leave that out")


def test_what_cannot_be_measured_is_refused(
    cli: CLI, trained: Path, encoder_run: Path, book: Path, tmp_path: Path
) -> None:
    words = ["probe", trained, "--data", book, "--chunk", 8, "--limit", 600]
    cli(*words, "--context", 100).require_refusal("--context 100 is no power of two. Give 64 or 128.")
    cli(*words, "--context", 1024).require_refusal("of no document 1,152 tokens are read, of which a context of 1,024")
    cli(*words, "--out", tmp_path / "p.png").require_refusal("p.png is no chart that can be drawn", ".svg or .html")
    cli(*words, "--out", tmp_path / "no" / "p.svg").require_refusal("cannot write")
    cli(*words, "--set", "d_model=9").require_refusal("d_model=9")
    cli(*words, "--examples", 2).require_refusal("no use for --examples: the text is read as a stream")
    cli("probe", trained, "--data", tmp_path / "no.txt").require_refusal("there is no file or folder")
    cli("probe", encoder_run, "--data", book).require_refusal("bert has no matrix in which it writes and reads")
    (tmp_path / "a.txt").write_text("a")
    told = "Give longer text, a larger --limit, or a smaller --context"
    cli("probe", trained, "--data", tmp_path / "a.txt").require_refusal(told)
    assert cli(*words, "--limit", 0).code == 2
    with pytest.raises(ConfigError, match=r"no chart that can be drawn"):
        require_chart(Path("a"))
