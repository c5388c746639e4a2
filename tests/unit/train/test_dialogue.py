"""What was told in one session is remembered in the next."""

from pathlib import Path

import pytest
import torch

from everlong.data import ByteTokenizer, TokenStore
from everlong.data.dialogues import BETWEEN_SESSIONS, mark, read_dialogues, session_parts, turn
from everlong.evaluate.parts import evaluate_parts
from everlong.generate import Sampler
from everlong.models import create_model
from everlong.run import load
from everlong.train import TrainConfig, train
from tests.dialogues import NAMES, WORDS, conversations, write_lines

STEPS = 250


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_name_of_the_first_session_is_known_in_the_second(language: str, tmp_path: Path) -> None:
    tokenizer = ByteTokenizer()

    def store(name: str, count: int, seed: int) -> TokenStore:
        lines = write_lines(tmp_path / f"{name}.jsonl", *conversations(count, seed=seed, language=language))
        return TokenStore.build(read_dialogues([lines]), tokenizer, tmp_path / name)

    torch.manual_seed(0)
    model = create_model("transformer", d_model=48, n_layers=2, n_heads=2, d_ff=96, context=128, vocab_size=256)
    config = TrainConfig(
        task="dialogue", steps=STEPS, lanes=8, chunk=96, lr=5e-3, warmup=20, clip=1.0, eval_every=0, save_every=0
    )
    train(model, store("train", 200, 0), None, config, tmp_path / "run", tokenizer=tokenizer)
    run = load(tmp_path / "run")
    held_out = store("test", 24, 1)
    found = evaluate_parts(run.language_model, held_out, tokenizer, session_parts, lanes=24)
    second = found.by_part[1].bits
    bits = {reading: getattr(second, reading) / 24 for reading in ("carried", "reset", "other")}
    assert second.other is not None
    # One of four names is worth two bits, of which nothing is left to who remembers.
    assert bits["carried"] < 1
    assert bits["reset"] > 2
    assert bits["other"] > 2
    user, system, told, hello, question, answered = WORDS[language]
    for name in NAMES[language]:
        session = run.session()
        session.read(turn(user, told.format(name)) + turn(system, hello) + BETWEEN_SESSIONS)
        session.read(turn(user, question) + mark(system))
        assert session.write(stop="\n", max_new_tokens=20, sampler=Sampler(temperature=0)).strip() == answered.format(
            name
        )
