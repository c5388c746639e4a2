"""Translating on the command line: trained, resumed, measured, used, and refused in a sentence."""

import json
import sys
from pathlib import Path

import pytest

from everlong.cli import main
from everlong.run import load
from tests.cli.support import CLI

WORDS = {"one": "eins", "two": "zwei", "dog": "Hund", "海": "Meer"}
FIELDS = ["d_model=16", "n_layers=1", "n_heads=2", "d_ff=16", "context=32", "lr=0.01", "warmup=2", "save_every=6"]
SMALL = [word for field in FIELDS for word in ("--set", field)]


def pair_lines(count: int) -> list[tuple[str, str]]:
    words = list(WORDS)
    chosen = [(words[n % 4], words[n // 4 % 4]) for n in range(count)]
    return [(f"{a} {b}", f"{WORDS[a]} {WORDS[b]}") for a, b in chosen]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    lines = [json.dumps({"source": a, "target": b}, ensure_ascii=False) for a, b in pair_lines(40)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def words(pairs: Path, out: Path, *more: object) -> list[object]:
    size = ["--lanes", 4, "--steps", 12, *SMALL]
    return ["train", "encoder-decoder", "--task", "translate", "--data", pairs, "--out", out, *size, *more]


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words(pairs, out, "--tokenizer", "bpe:270")])
    assert end.value.code in (0, None)
    return out


def test_a_file_is_translated_line_by_line(cli: CLI, run: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one dog\n\n海 two\r\n" + "one " * 300 + "\n", encoding="utf-8")
    found = cli("translate", run, text, "--beams", 2)
    assert found.code == 0
    assert len(found.out.split("\n")) == 5
    assert found.out.split("\n")[1] == ""
    told = cli("translate", run, "-", "--beams", 2, "--json", stdin=text.read_bytes())
    assert [row["text"] for row in told.answer["translations"]] == found.out.split("\n")[:4]
    assert told.answer["decoding"] == {"beams": 2, "length_penalty": 0.6, "no_repeat": 0, "longest": 3.0}
    assert cli("translate", run, "-", stdin=b"").out == ""
    assert [one.text for one in load(run).translate(["one dog", ""], beams=2)] == found.out.split("\n")[:2]


def test_two_files_are_pairs_and_a_model_alone_says_what_it_learns(cli: CLI, tmp_path: Path) -> None:
    sources, targets = tmp_path / "text.en", tmp_path / "text.de"
    sources.write_text("".join(f"{a}\n" for a, _ in pair_lines(24)), encoding="utf-8")
    targets.write_text("".join(f"{b}\n" for _, b in pair_lines(24)), encoding="utf-8")
    data = ["--data", sources, targets, "--set", "d_model=8", "--steps", 2]
    found = cli("train", "recurrent-encoder-decoder", *data, "--out", tmp_path / "run", "--set", "task.reverse=true")
    assert found.code == 0, found
    assert "23 examples of translate, 1 held out" in found.err
    measured = cli("eval", tmp_path / "run", "--json").answer
    assert (measured["task"], measured["n_pairs"]) == ("translate", 1)
    last = tmp_path / "last.jsonl"
    last.write_text(json.dumps(dict(zip(("source", "target"), pair_lines(24)[-1], strict=True))), encoding="utf-8")
    assert cli("eval", tmp_path / "run", "--data", last, "--json").answer["bits_per_byte"] == measured["bits_per_byte"]
    again = cli("train", "--resume", "--out", tmp_path / "run", "--steps", 4)
    assert again.code == 0, again
    other = cli("train", "--resume", "--out", tmp_path / "run", "--steps", 6, "--set", "task.reverse=false")
    other.require_refusal("has task setting reverse=True, now it is False")


def test_a_run_is_measured_on_what_was_held_out_or_on_other_pairs(
    cli: CLI, run: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    found = cli("eval", run)
    assert "bits per target byte, over 2 pairs." in found.out
    assert 'pip install "everlong[metrics]"' in found.err
    told = cli("eval", run, "--data", pairs, "--set", "beams=1", "--set", "context=8", "--json").answer
    assert (told["n_pairs"], told["bleu"], told["decoding"]["beams"]) == (40, None, 1)
    assert 0 < told["bits_per_byte"] < 8


def test_bleu_and_chrf_stand_beside_bits(cli: CLI, run: Path) -> None:
    pytest.importorskip("sacrebleu")
    assert "BLEU" in cli("eval", run).out
    told = cli("eval", run, "--json").answer
    assert 0 <= told["bleu"] <= 100
    assert 0 <= told["chrf"] <= 100
    assert "tok:13a" in told["signature"]


def test_what_is_refused(cli: CLI, run: Path, trained: Path, pairs: Path, tmp_path: Path) -> None:
    cli("translate", trained, pairs).require_refusal("did not learn to translate texts", "everlong train")
    cli("translate", run, tmp_path / "none").require_refusal("there is no file", "to translate")
    cli("translate", run, pairs, "--beams", 0).require_refusal("Decoding.beams = 0 does not fit")
    cli("translate", run, pairs, "--lanes", 0).require_refusal("lanes=0 is too few")
    cli("translate", run, "-", stdin=b"\xff\n").require_refusal("standard input is not valid UTF-8 at byte 0, line 1")
    cli("translate", tmp_path, pairs).require_refusal("is not a run")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"source": "a"}\n')
    out = tmp_path / "new"
    cli(*words(bad, out)).require_refusal("bad.jsonl:1 has no string", "must be one object")
    assert not out.exists()
    cli(*words(pairs, out, "--chunk", 9)).require_refusal("task=translate has no use for --chunk: a pair of texts")
    cli(*words(pairs, out, "--set", "task.revers=1")).require_refusal("reverse")
    cli("train", "gru", "--task", "translate", "--data", pairs, "--out", out).require_refusal(
        "gru cannot learn task=translate", "encoder-decoder"
    )
    cli("train", "encoder-decoder", "--task", "lm", "--data", pairs, "--out", out).require_refusal(
        "encoder-decoder cannot learn task=lm", "Give task=translate"
    )
    cli("eval", run, "--limit", 9).require_refusal("has no use for --limit: it is measured on pairs of texts")
    few = tmp_path / "few.jsonl"
    few.write_text('{"source": "a", "target": "b"}\n')
    assert cli(*words(few, out)).code == 0
    cli("eval", out).require_refusal("no pairs are given to measure. Write --data and the names of files.")
