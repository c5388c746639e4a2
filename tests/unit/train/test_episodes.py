"""Training on generated tasks: resumed bit for bit, refused where nothing fits, and learned."""

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from everlong.checkpoint import newest_good_checkpoint
from everlong.data import ByteTokenizer
from everlong.data.synthetic import PICTURES, Copy, GraphTraversal, Omniglot, Rules
from everlong.data.synthetic import RULES as RULES_BY_NAME
from everlong.errors import ConfigError, DamagedFile, RunError
from everlong.models import create_model
from everlong.run import load
from everlong.train import Progress, TrainConfig, train
from everlong.train.config import GeneratedTask
from everlong.train.folder import rules_of
from tests.drawings import drawn
from tests.unit.train.conftest import Bench, figures, settings, steps_kept, tiny
from tests.unit.train.test_train import PowerCutError, cut_power

RULES = Copy(max_length=3, bits=3)
SIZES: dict[str, Any] = {"d_model": 8, "n_layers": 1, "memory_slots": 5, "slot_size": 3, "dropout": 0.1}


def machine(name: str = "ntm", *, seed: int = 0, rules: Rules = RULES, **fields: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = SIZES if name != "lstm" else {"d_model": 8, "n_layers": 1}
        vectors = {"input_size": rules.input_size, "output_size": rules.output_size}
        return create_model(name, **{**sizes, **vectors, **fields})


def copying(**changes: Any) -> TrainConfig:
    fields = {"task": "copy", "steps": 7, "lanes": 4, "warmup": 2, "eval_every": 2, "save_every": 3}
    return TrainConfig(**{**fields, "eval_sequences": 3, **changes})


@pytest.mark.parametrize("name", ["ntm", "dnc", "mann", "lstm"])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, name: str) -> None:
    config = copying(window=2, accumulate=2)
    whole, other = machine(name), machine(name, seed=1)
    train(whole, RULES, None, config, tmp_path / "whole")
    with pytest.raises(PowerCutError):
        train(machine(name), RULES, None, config, tmp_path / "broken", report=cut_power(5))
    assert steps_kept(tmp_path / "broken")[-1] in (3, 4)
    torch.manual_seed(99)
    train(other, RULES, None, config, tmp_path / "broken", resume=True)
    assert other.weights_digest() == whole.weights_digest()
    assert figures(tmp_path / "broken") == figures(tmp_path / "whole")
    checkpoint = newest_good_checkpoint(tmp_path / "broken")
    assert checkpoint is not None
    assert checkpoint.state["cursor"] == {"batch": 7 * 4}


def test_figures_are_bits_per_sequence(tmp_path: Path) -> None:
    seen: list[Progress] = []
    model = machine(dropout=0.0)
    with torch.no_grad():
        model.head.map.weight.zero_()
        model.head.map.bias.zero_()
    result = train(model, RULES, None, copying(lr=1e-9, steps=4), tmp_path / "run", report=seen.append)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    # Whoever knows nothing pays a bit for each of 3 in 1 to 3 vectors.
    assert all(3 <= line["bits_per_sequence"] <= 9 for line in lines)
    assert lines[1]["hard_bits_per_sequence"] == pytest.approx(3 * 18, rel=1e-3)
    assert {"valid_bits_per_sequence", "valid_wrong_bits", "hard_wrong_bits"} <= set(lines[1])
    assert lines[0].keys().isdisjoint({"bits_per_byte", "valid_wrong_bits"})
    assert (seen[0].per.name, result.per.name, seen[0].memory_bytes) == ("sequence", "sequence", 0)
    assert seen[1].valid_bits == lines[1]["valid_bits_per_sequence"]
    assert result.best_bits == min(p.valid_bits for p in seen if p.valid_bits is not None)


def test_a_run_knows_its_rules_and_has_no_text(tmp_path: Path) -> None:
    model = machine()
    train(model, RULES, None, copying(steps=1), tmp_path / "run")
    assert rules_of(tmp_path / "run") == RULES
    run = load(tmp_path / "run")
    assert run.model.weights_digest() == model.weights_digest()
    with pytest.raises(
        ConfigError, match="learned from generated sequences, not from text, and can neither read text nor write"
    ):
        run.session()
    with pytest.raises(RunError, match=r"has data setting max_length=3, now it is 4\. Resume with max_length=3"):
        train(machine(), RULES.replace(max_length=4), None, copying(), tmp_path / "run", resume=True)


def test_a_choice_is_one_target(tmp_path: Path) -> None:
    rules = GraphTraversal(min_nodes=4, max_nodes=4, max_steps=2)
    model = machine(rules=rules, dropout=0.0)
    with torch.no_grad():
        model.head.map.weight.zero_()
        model.head.map.bias.zero_()
    train(model, rules, None, copying(task="graph-traversal", lr=1e-9, steps=2), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    # Whoever knows nothing pays as much as ten choices are worth for each of 3 digits in 1 or 2 steps.
    digit = math.log(10)
    assert [line["loss"] for line in lines] == pytest.approx([digit, digit], rel=1e-4)
    assert all(3 * digit <= line["bits_per_sequence"] * math.log(2) <= 6 * digit * 1.001 for line in lines)
    assert {"valid_wrong_answers", "hard_wrong_answers", "valid_accuracy_step_1"} <= set(lines[1])
    assert "valid_wrong_bits" not in lines[1]


def test_a_run_keeps_its_pictures_and_goes_on_without_them(tmp_path: Path) -> None:
    rules = Omniglot(classes=2, instances=2).with_pictures(drawn(4, 3, seed=1), drawn(3, 2, seed=2))
    config, out = copying(task="omniglot"), tmp_path / "broken"
    whole, other = (machine("mann", seed=seed, rules=rules) for seed in (0, 1))
    train(whole, rules, None, config, tmp_path / "whole")
    with pytest.raises(PowerCutError):
        train(machine("mann", rules=rules), rules, None, config, out, report=cut_power(5))
    kept = rules_of(out)
    assert isinstance(kept, Omniglot)
    assert kept.sources() == rules.sources()
    train(other, kept, None, config, out, resume=True)
    assert other.weights_digest() == whole.weights_digest()
    assert figures(out) == figures(tmp_path / "whole")
    others = rules.with_pictures(drawn(4, 3, seed=3), rules.pictures[1])
    with pytest.raises(RunError, match=r"has data setting pictures=\w{64}, now it is \w{64}\. Resume with"):
        train(machine("mann", rules=rules), others, None, config, out, resume=True)
    assert rules_of(out).sources() == rules.sources()
    (out / PICTURES).unlink()
    with pytest.raises(DamagedFile, match=f"cannot read .*{PICTURES}"):
        rules_of(out)


def test_what_does_not_fit_is_refused_before_anything_is_written(bench: Bench) -> None:
    out = bench.folder / "run"
    with pytest.raises(ConfigError, match="gru cannot learn task=copy, which is for dnc, lstm, mann, ntm"):
        train(tiny("gru"), RULES, None, copying(), out)
    with pytest.raises(ConfigError, match="the rules of copy were given with task=repeat-copy, validation"):
        train(machine(), RULES, None, copying(task="repeat-copy"), out)
    with pytest.raises(ConfigError, match=r"task=copy, validation text or a tokenizer\. Give task=copy, and neither"):
        train(machine(), RULES, None, copying(), out, tokenizer=ByteTokenizer())
    with pytest.raises(ConfigError, match=r"task=copy learns from rules, and was given a corpus\. Give it what it"):
        train(machine(), bench.data, None, copying(), out, tokenizer=ByteTokenizer())
    with pytest.raises(ConfigError, match="task=lm was given a corpus without its tokenizer"):
        train(tiny("ntm"), bench.data, None, settings(), out)
    with pytest.raises(ConfigError, match="task=copy shows vectors of 9 numbers"):
        train(machine(), Copy(), None, copying(), out)
    with pytest.raises(ConfigError, match="task=lm is about tokens; the model has input_size=4 and output_size=3"):
        train(machine(), bench.data, None, settings(), out, tokenizer=ByteTokenizer())
    assert not out.exists()


def test_every_generated_task_can_be_named_in_the_settings() -> None:
    assert set(get_args(GeneratedTask)) == set(RULES_BY_NAME)


def test_ntm_learns_to_copy(tmp_path: Path) -> None:
    rules = Copy(max_length=3, bits=3)
    model = machine("ntm", rules=rules, d_model=32, slot_size=8, memory_slots=8, dropout=0.0, controller="feed-forward")
    config = copying(steps=400, lanes=16, lr=5e-3, clip=1.0, weight_decay=0.0, eval_every=0, eval_sequences=200)
    result = train(model, rules, None, config.replace(save_every=0), tmp_path / "run")
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert result.best_bits is not None
    assert result.best_bits < 0.5
    assert last["valid_wrong_bits"] < 0.01


def test_mann_learns_to_name_what_it_saw_once(tmp_path: Path) -> None:
    rules = Omniglot(classes=2, instances=4, max_turn=0, max_shift=0)
    rules = rules.with_pictures(drawn(60, 4, seed=1), drawn(20, 4, seed=2))
    model = machine("mann", rules=rules, d_model=100, memory_slots=16, slot_size=40, n_reads=4, dropout=0.0)
    config = copying(task="omniglot", steps=400, lanes=16, lr=2e-3, warmup=20, clip=1.0, weight_decay=0.0)
    train(model, rules, None, config.replace(eval_every=0, save_every=0, eval_sequences=200), tmp_path / "run")
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    # Characters that it never saw in training. Of two, the first is guessed, and then the other one is known.
    assert last["valid_accuracy_instance_1"] < 0.8
    assert last["valid_accuracy_instance_2"] > 0.8
    assert last["valid_accuracy_instance_4"] > 0.8
