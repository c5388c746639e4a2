"""A recurrent model learns to keep a key, and finds it in longer noise than it was trained on."""

from pathlib import Path

from everlong.data.synthetic import Passkey
from everlong.evaluate.episodes import evaluate_episodes
from everlong.models import LanguageModel, create_model
from everlong.train import TrainConfig, train

RULES = Passkey(length=40, digits=2)


def test_a_gru_keeps_a_key(tmp_path: Path) -> None:
    model = create_model("gru", **RULES.model_sizes, d_model=64, n_layers=1)
    assert isinstance(model, LanguageModel)
    config = TrainConfig(task="passkey", steps=200, lanes=32, lr=1e-2, clip=1.0, warmup=20, eval_every=0)
    before, *_ = evaluate_episodes(model, RULES, trials=[RULES.largest], sequences=50, lanes=50)
    train(model, RULES, None, config, tmp_path / "run")
    same, twice = evaluate_episodes(model, RULES, trials=RULES.trials()[:2], sequences=100, lanes=50)
    assert before.wrong > 0.8
    assert same.wrong < 0.1
    assert twice.wrong < 0.25
    assert set(twice.by_mark) == set(range(10, 101, 10))
    assert sum(tally.n_answers for tally in twice.by_mark.values()) == 200
