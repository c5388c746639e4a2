"""Summarizing on the command line: trained, resumed, measured beside first sentences, used, refused in a sentence."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import everlong
from everlong.cli import main
from everlong.errors import ConfigError, DataError
from tests.cli.support import CLI

FIELDS = ["d_model=16", "n_layers=2", "n_heads=2", "d_ff=16", "context=32", "lr=0.01", "warmup=2", "save_every=6"]
SMALL = [word for field in FIELDS for word in ("--set", field)]
SEA, MEADOW = "The ship was at sea. It sailed on.\n\nNobody spoke.", "他在草地上走。风很大。\n\n没有人说话。"


def records(count: int) -> list[dict[str, str]]:
    some = [{"document": SEA, "summary": "A ship\nat sea."}, {"document": MEADOW, "summary": "他在走。"}]
    asked = {"query": "What was at sea?", "document": "  " + SEA, "summary": "A ship."}
    return [[*some, asked][n % 3] for n in range(count)]


def lines(path: Path, found: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found), encoding="utf-8")
    return path


def words(data: Path, out: Path, *more: object) -> list[object]:
    size = ["--lanes", 4, "--steps", 12, *SMALL]
    return ["train", "hierarchical-encoder-decoder", "--task", "summarize", "--data", data, "--out", out, *size, *more]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lines(tmp_path_factory.mktemp("summaries") / "summaries.jsonl", records(60))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words(data, out, "--tokenizer", "bpe:270")])
    assert end.value.code in (0, None)
    return out


def test_documents_are_summarized_whole_each_in_a_line(cli: CLI, run: Path, tmp_path: Path) -> None:
    endless, several = tmp_path / "endless.txt", lines(tmp_path / "several.jsonl", records(3))
    endless.write_text("sea " * 900, encoding="utf-8")
    options = ["--beams", 2, "--max-new-tokens", 9, "--no-repeat", 2]
    found = cli("summarize", run, endless, several, *options)
    assert found.code == 0, found
    assert found.out.count("\n") == 4
    told = cli("summarize", run, endless, several, *options, "--lanes", 1, "--json").answer["summaries"]
    assert [row["text"] for row in told] == found.out.splitlines()
    assert [row["name"].rpartition("/")[2] for row in told] == [
        "endless.txt", "several.jsonl:1", "several.jsonl:2", "several.jsonl:3"
    ]  # fmt: skip
    texts = [endless.read_text(), SEA, MEADOW, f"What was at sea?\n\n{SEA}"]
    again = everlong.load(run).summarize(texts, beams=2, max_new_tokens=9, no_repeat=2)
    assert [one.text for one in again] == [row["text"] for row in told]


def test_a_run_is_measured_beside_first_sentences(cli: CLI, run: Path, data: Path) -> None:
    pytest.importorskip("rouge_score")
    found = cli("eval", run, "--set", "beams=1")
    assert found.code == 0, found
    for word in ("ROUGE-1", "ROUGE-L", "hierarchical-encoder-decoder", "first sentences,", "over 3 documents"):
        assert word in found.out
    told = cli("eval", run, "--data", data, "--set", "beams=1", "--set", "max_new_tokens=5", "--json").answer
    assert (told["task"], told["n_pairs"], told["left_out"]) == ("summarize", 60, 0)
    assert (told["decoding"]["max_new_tokens"], told["decoding"]["no_repeat"]) == (5, 0)
    assert 0 <= told["rouge"]["model"]["rouge1"] <= 100
    assert told["rouge"]["lead"]["rouge1"] > 10
    assert "stemmed words" in told["rouge"]["lead"]["signature"]


def test_without_the_library_bits_are_told(cli: CLI, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    found = cli("eval", run, "--set", "beams=1")
    assert "bits per summary byte, over 3 documents." in found.out
    assert 'pip install "everlong[metrics]"' in found.err
    assert cli("eval", run, "--set", "beams=1", "--json").answer["rouge"] == {"model": None, "lead": None}


def test_what_a_limit_leaves_out_is_said(cli: CLI, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = cli(*words(data, out, "--set", "task.limit=10", "--set", "task.unit=paragraph"))
    assert found.code == 0, found
    assert "limit=10 leaves out" in found.err
    assert cli("train", "--resume", "--out", out, "--steps", 14).code == 0
    other = cli("train", "--resume", "--out", out, "--steps", 16, "--set", "task.limit=11")
    other.require_refusal("has task setting limit=10, now it is 11")
    used = cli("summarize", out, data, "--beams", 1, "--max-new-tokens", 2, "--json")
    assert "summaries.jsonl:1: the last " in used.err
    assert [row["left_out"] for row in used.answer["summaries"][:2]] == [len(SEA) - 10, len(MEADOW.encode()) - 10]
    measured = cli("eval", out, "--set", "beams=1", "--set", "max_new_tokens=2")
    assert "limit=10 left out" in measured.err


def test_what_is_refused(cli: CLI, run: Path, trained: Path, data: Path, tmp_path: Path) -> None:
    cli("summarize", trained, data).require_refusal("did not learn to summarize texts", "everlong train")
    with pytest.raises(ConfigError, match=r"did not learn to summarize texts\. Train an encoder-decoder for that"):
        everlong.load(trained).summarize(["a"])
    cli("summarize", run, tmp_path / "none").require_refusal("there is no file or folder")
    cli("summarize", run, data, "--beams", 0).require_refusal("Summarizing.beams = 0 does not fit")
    cli("summarize", run, data, "--max-new-tokens", 0).require_refusal("Summarizing.max_new_tokens = 0 does not fit")
    cli("summarize", run, data, "--lanes", 0).require_refusal("lanes=0 is too few")
    blank, latin = tmp_path / "blank.txt", tmp_path / "latin.txt"
    blank.write_text(" \n\n ")
    latin.write_bytes(b"caf\xe9")
    cli("summarize", run, blank).require_refusal("blank.txt is white space and no document. Leave it out.")
    cli("summarize", run, latin).require_refusal("latin.txt is not valid UTF-8")
    with pytest.raises(DataError, match=r"a text to be summarized is empty\. Leave it out"):
        list(everlong.load(run).summarize(["a", " "]))
    bad, out = tmp_path / "bad.jsonl", tmp_path / "new"
    for record, words_of in (
        ({"document": "a"}, 'bad.jsonl:1 has no string "summary"'),
        ({"text": "a", "summary": "b"}, 'bad.jsonl:1 has no string "document"'),
        ({"document": " ", "summary": "b"}, "bad.jsonl:1 has an empty document"),
        ({"document": "a", "summary": "\n"}, "bad.jsonl:1 has an empty summary"),
        ({"document": "a", "summary": "b", "query": 3}, 'bad.jsonl:1 has no string "query"'),
    ):
        cli(*words(lines(bad, [record]), out)).require_refusal(words_of)
        assert not out.exists()
    cli(*words(data, out, "--chunk", 9)).require_refusal("task=summarize has no use for --chunk: it reads JSON lines")
    cli("train", "gru", "--task", "summarize", "--data", data, "--out", out).require_refusal(
        "gru cannot learn task=summarize", "hierarchical-encoder-decoder"
    )
    cli("eval", run, "--limit", 9).require_refusal("has no use for --limit: it is measured on documents")
