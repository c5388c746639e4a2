"""Runs on Multi30k go on where they stopped, and are measured on every test pair."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from benchmarks import translation
from benchmarks.translation import Job, prepare, run, table

WORDS = {"one": "eins", "two": "zwei", "dog": "Hund"}
SMALL: dict[str, Any] = {"d_model": 8, "n_layers": 1}


def write_texts(folder: Path) -> Path:
    folder.mkdir()
    lines = [(f"{a} {b}", f"{WORDS[a]} {WORDS[b]}") for a in WORDS for b in WORDS]
    for part in translation.PARTS.values():
        for side, language in enumerate(("en", "de")):
            text = "".join(f"{line[side]}\n" for line in lines)
            (folder / f"{part}.{language}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


@pytest.mark.parametrize("model", ["encoder-decoder", "recurrent-encoder-decoder+dot"])
def test_a_run_says_what_it_measured(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(translation.SIZES, model, SMALL | ({"n_heads": 2, "d_ff": 8} if "+" not in model else {}))
    monkeypatch.setattr(translation, "updates_in", lambda *_, **__: 3)
    data, folder = write_texts(tmp_path / "texts"), tmp_path / "runs"
    for _ in range(2):
        prepare(data, folder, tokens=270)
    settings = {"lanes": 4, "warmup": 1, "save_every": 1}
    job = Job(model=model, seed=0, cpu_minutes=1.0, tokens=270, folder=folder, overrides={}, settings=settings)
    row = run(job)
    assert job.asked.items() <= row.items()
    assert (row["updates"], row["epochs"]) == (3, pytest.approx(12 / 9))
    assert 0 <= row["bleu"] <= 100
    assert row["bits_per_byte"] > 1
    monkeypatch.setattr(translation, "updates_in", lambda *_, **__: pytest.fail("a run that has begun is not timed"))
    again = run(job)
    assert [again[key] for key in ("bleu", "bits_per_byte")] == [row[key] for key in ("bleu", "bits_per_byte")]
    assert model in table([row])


def test_a_budget_is_counted_in_updates(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    prepare(write_texts(tmp_path / "texts"), folder, tokens=270)
    tokenizer = translation.load_tokenizer(folder)
    model: Any = translation.create_model("recurrent-encoder-decoder", vocab_size=tokenizer.vocab_size, **SMALL)
    pairs = translation.ExampleStore.open(folder / "train")
    config = translation.TrainConfig(task="translate", lanes=4)
    few, many = (
        translation.updates_in(model, pairs, config, tokenizer=tokenizer, cpu_minutes=minutes) for minutes in (0.0, 5.0)
    )
    assert few == 1 < many
