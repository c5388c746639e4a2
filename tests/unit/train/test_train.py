"""The loop, in one process."""

import errno
import hashlib
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.checkpoint import DamagedCheckpointWarning, list_checkpoints, newest_good_checkpoint
from everlong.data import ByteTokenizer, Document, TokenStore, chosen, rarity
from everlong.errors import ConfigError, DamagedFile, DataError, RunError
from everlong.train import Progress, TrainConfig, train
from tests.unit.train.conftest import OWN, SIZES, Bench, figures, settings, steps_kept, tiny

EVERYTHING: dict[str, Any] = {"long_weight": 5.0, "favour": 2.0, "mix": (0.9, 0.3)}


class PowerCutError(Exception):
    """Ends a run without a chance to save."""


def cut_power(step: int) -> Any:
    def report(progress: Progress) -> None:
        if progress.step == step:
            raise PowerCutError

    return report


@pytest.mark.parametrize("architecture", SIZES)
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(bench: Bench, architecture: str) -> None:
    fields = {"steps": 7, "window": 2, "accumulate": 2, "eval_every": 2, "save_every": 3, "keep": 2, "lanes": 4}
    config = settings(**fields, chunk=4, **OWN.get(architecture, {"memory_dropout": 0.5}))
    whole, broken = tiny(architecture), tiny(architecture)
    bench.train("whole", config, model=whole, measured=True)
    with pytest.raises(PowerCutError):
        bench.train("broken", config, model=broken, measured=True, report=cut_power(5))
    assert steps_kept(bench.folder / "broken")[-1] in (3, 4)
    other = tiny(architecture, seed=1)
    torch.manual_seed(99)
    result = bench.train("broken", config, model=other, resume=True, measured=True)
    assert result.step == 7
    assert other.weights_digest() == whole.weights_digest()
    assert figures(bench.folder / "broken") == figures(bench.folder / "whole")
    states = [newest_good_checkpoint(bench.folder / name) for name in ("whole", "broken")]
    assert all(state is not None for state in states)
    for name in ("model", "optimizer", "lanes", "random"):
        one, two = (state.tensors(name) for state in states if state is not None)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("architecture", ["gru", "transformer-xl"])
@pytest.mark.parametrize("fields", [{"long_weight": 5.0}, {"favour": 2.0}, {"mix": (0.9, 0.3)}, EVERYTHING], ids=str)
def test_a_run_that_favours_long_dependencies_goes_on_as_if_it_had_not_been_killed(
    bench: Bench, architecture: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a text so short, a word that is one of twenty is rare, and passages come often.
    monkeypatch.setattr(rarity, "RARE", 20)
    monkeypatch.setattr(chosen, "STRETCH", 2)
    config = settings(steps=9, save_every=3, memory_dropout=0.3, window=2, **fields)
    whole, broken = tiny(architecture), tiny(architecture, seed=1)
    bench.train("whole", config, model=whole)
    with pytest.raises(PowerCutError):
        bench.train("broken", config, model=tiny(architecture), report=cut_power(5))
    bench.train("broken", config, model=broken, resume=True)
    assert broken.weights_digest() == whole.weights_digest()
    assert figures(bench.folder / "broken") == figures(bench.folder / "whole")
    plain = tiny(architecture)
    bench.train("plain", config.replace(long_weight=1.0, favour=0.0, mix=(0.0, 0.0)), model=plain)
    assert plain.weights_digest() != whole.weights_digest()


def test_weights_of_tokens_leave_the_bits_that_are_reported_plain(bench: Bench) -> None:
    for name, weight in (("plain", 1.0), ("long", 5.0)):
        bench.train(name, settings(long_weight=weight, chunk=16, eval_every=2, lr=0.01), measured=True)
    plain, long = (figures(bench.folder / name) for name in ("plain", "long"))
    assert plain[0] == long[0], "the first update begins with no memory, and is the same"
    assert plain[1]["loss"] == long[1]["loss"]
    assert plain[1]["gradient_norm"] != long[1]["gradient_norm"]


def test_a_share_follows_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def mix_share(_: TrainConfig, done: float) -> float:
        asked.append(done)
        return 0.5

    monkeypatch.setattr(TrainConfig, "mix_share", mix_share)
    bench.train("run", settings(steps=4, mix=(0.5, 0.0)))
    assert asked == [0.0, 0.25, 0.5, 0.75]


def test_documents_are_favoured_by_their_scores(bench: Bench) -> None:
    with pytest.raises(DataError, match="the corpus has too few documents to draw from: 2 for lanes=4"):
        bench.train("run", settings(favour=1.0, lanes=4))
    assert not (bench.folder / "run" / "checkpoints").exists()


def test_a_run_that_was_killed_before_its_first_update_begins_again(bench: Bench) -> None:
    whole, again = tiny(), tiny()
    bench.train("whole", model=whole)
    with pytest.raises(PowerCutError):
        bench.train("broken", report=cut_power(1))
    assert steps_kept(bench.folder / "broken") == [0]
    bench.train("broken", model=again, resume=True)
    assert again.weights_digest() == whole.weights_digest()
    shutil.rmtree(bench.folder / "broken" / "checkpoints")
    afresh = tiny()
    bench.train("broken", model=afresh, resume=True)
    assert afresh.weights_digest() == whole.weights_digest()
    assert figures(bench.folder / "broken") == figures(bench.folder / "whole")


def test_a_run_does_not_touch_the_callers_random_state(bench: Bench) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    bench.train("run")
    assert torch.equal(torch.get_rng_state(), state)


def test_progress_says_where_the_run_stands(bench: Bench) -> None:
    seen: list[Progress] = []
    config = settings(steps=4, eval_every=2, save_every=4)
    result = bench.train("run", config, measured=True, report=seen.append)
    assert [(p.step, p.steps) for p in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [p.valid_bits is not None for p in seen] == [False, True, False, True]
    assert seen[-1].saved == result.checkpoint == bench.folder / "run" / "checkpoints" / "step-00000004"
    assert seen[0].loss / seen[0].bits == pytest.approx(0.6931 * bench.data.n_bytes / bench.data.n_tokens, rel=1e-3)
    assert all(p.tokens_per_second > 0 and p.seconds > 0 for p in seen)
    assert {p.memory_bytes for p in seen} == {tiny().init_memory(2).nbytes}
    assert seen[-1].seconds_left == 0
    assert result.loss == seen[-1].loss
    assert (result.ending, result.interrupted) == ("steps", False)


def test_training_learns(bench: Bench) -> None:
    seen: list[Progress] = []
    bench.train("run", settings(steps=60, lr=0.03, clip=1.0, chunk=16), report=seen.append)
    assert seen[-1].loss < 0.75 * seen[0].loss


def test_the_best_and_the_newest_checkpoints_are_kept(bench: Bench) -> None:
    config = settings(steps=6, lr=5.0, clip=0.0, warmup=0, eval_every=1, save_every=1, keep=2)
    result = bench.train("run", config, measured=True)
    best = result.best_step
    assert best is not None
    assert steps_kept(bench.folder / "run") == sorted({best, 5, 6})


def test_patience_ends_a_run_that_gets_no_better(bench: Bench) -> None:
    config = settings(steps=99, lr=5.0, clip=0.0, warmup=0, eval_every=1, patience=2)
    result = bench.train("run", config, measured=True)
    assert result.ending == "patience"
    assert result.best_step is not None
    assert result.step < 99
    assert steps_kept(bench.folder / "run")[-1] == result.step


def test_time_ends_a_run(bench: Bench) -> None:
    result = bench.train("run", settings(steps=0, minutes=0.005))
    assert result.ending == "minutes"
    assert result.seconds >= 0.3
    assert result.step > 0


def test_a_finished_run_has_nothing_left_to_do_and_may_be_given_more(bench: Bench) -> None:
    bench.train("run", settings(steps=2))
    again = bench.train("run", settings(steps=2), resume=True)
    assert (again.step, again.loss, again.ending) == (2, None, "steps")
    assert bench.train("run", settings(steps=3), resume=True).step == 3


def test_ctrl_c_saves_after_the_update_and_the_run_goes_on(bench: Bench) -> None:
    whole, stopped = tiny(), tiny()
    bench.train("whole", settings(steps=6), model=whole)

    def ctrl_c(progress: Progress) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    result = bench.train("run", settings(steps=6), report=ctrl_c)
    assert (result.step, result.interrupted) == (3, True)
    assert steps_kept(bench.folder / "run")[-1] == 3
    bench.train("run", settings(steps=6), model=stopped, resume=True)
    assert stopped.weights_digest() == whole.weights_digest()


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(bench: Bench) -> None:
    config, whole, again = settings(save_every=1, keep=3), tiny(), tiny()
    bench.train("run", config, model=whole)
    newest = bench.folder / "run" / "checkpoints" / "step-00000004"
    (newest / "lanes.safetensors").write_bytes(b"")
    with pytest.warns(DamagedCheckpointWarning, match=r"step-00000004/lanes\.safetensors is damaged"):
        bench.train("run", config, model=again, resume=True)
    assert again.weights_digest() == whole.weights_digest()


def test_without_a_whole_checkpoint_a_run_cannot_go_on(bench: Bench) -> None:
    bench.train("run")
    for folder in (bench.folder / "run" / "checkpoints").iterdir():
        (folder / "manifest.json").unlink()
    with pytest.warns(DamagedCheckpointWarning), pytest.raises(DamagedFile, match=r"no checkpoint in .* is whole"):
        bench.train("run", resume=True)


def test_a_checkpoint_of_another_version_is_refused(bench: Bench) -> None:
    bench.train("run")
    folder = list_checkpoints(bench.folder / "run")[-1]
    state = json.loads((folder / "state.json").read_text())
    # The name that this field had before tasks counted other units than bytes.
    state["best_bits_per_byte"] = state.pop("best_bits")
    (folder / "state.json").write_text(json.dumps(state))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["state.json"] = hashlib.sha256((folder / "state.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    message = f"{folder} was written by another version of Everlong: its state has no 'best_bits'. Go on with that"
    with pytest.raises(RunError, match=message):
        bench.train("run", settings(steps=9), resume=True)


def test_other_settings_are_refused_and_nothing_is_touched(bench: Bench) -> None:
    bench.train("run")
    before = {path: path.stat().st_mtime_ns for path in bench.folder.rglob("*") if path.name != ".lock"}
    with pytest.raises(RunError, match=r"training setting chunk=8, now it is 9\. Resume with chunk=8"):
        bench.train("run", settings(chunk=9), resume=True)
    with pytest.raises(RunError, match="holds a run already"):
        bench.train("run")
    assert before == {path: path.stat().st_mtime_ns for path in bench.folder.rglob("*") if path.name != ".lock"}


def test_settings_that_change_nothing_may_change(bench: Bench) -> None:
    whole, other = tiny(), tiny()
    bench.train("whole", settings(steps=6), model=whole, measured=True)
    bench.train("run", settings(steps=6), report=None, measured=True, model=tiny())
    shutil.rmtree(bench.folder / "run")
    with pytest.raises(PowerCutError):
        bench.train("run", settings(steps=6, save_every=2), measured=True, report=cut_power(5))
    changed = settings(steps=6, save_every=1, eval_every=1, keep=1, patience=99, recompute=True, track="none")
    bench.train("run", changed, model=other, measured=True, resume=True)
    assert other.weights_digest() == whole.weights_digest()


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def full(handle: int) -> None:
        if (bench.folder / "run" / "checkpoints" / "step-00000002").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="the disk is full"):
        bench.train("run", settings(save_every=2))
    monkeypatch.undo()
    assert steps_kept(bench.folder / "run")[-1] == 2
    assert bench.train("run", settings(save_every=2), resume=True).step == 4


def test_a_diverging_run_keeps_its_last_checkpoint(bench: Bench) -> None:
    config = settings(steps=50, lr=1e30, clip=0.0, warmup=0, save_every=1)
    with pytest.raises(RunError, match=r"is not a finite number at step \d+\. The last checkpoint is kept.*lower lr"):
        bench.train("run", config)
    found = newest_good_checkpoint(bench.folder / "run")
    assert found is not None


def test_a_corpus_shorter_than_its_lanes_is_refused(bench: Bench) -> None:
    with pytest.raises(DataError, match=r"too few for lanes=2 of chunk=100000: .*Use fewer lanes"):
        bench.train("run", settings(chunk=100000))
    bench.train("run")


def test_another_tokenizers_store_is_refused(bench: Bench, tmp_path: Path) -> None:
    from everlong.data import BPETokenizer

    tokenizer = BPETokenizer.train(["abc abc abd"] * 9, vocab_size=260)
    other = TokenStore.build([Document("a", "abc" * 50)], tokenizer, tmp_path / "bpe")
    with pytest.raises(DataError, match="built with another tokenizer"):
        train(tiny(), other, None, settings(), tmp_path / "run", tokenizer=ByteTokenizer())
    with pytest.raises(DataError, match="built with another tokenizer"):
        train(tiny(), bench.data, other, settings(), tmp_path / "run", tokenizer=ByteTokenizer())
    assert not (tmp_path / "run").exists()


def test_a_vocabulary_that_is_too_small_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match=r"vocab_size=100, the tokenizer has 256 tokens\. Create .* vocab_size=256"):
        bench.train("run", model=tiny(vocab_size=100))


def test_sharding_without_ranks_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match=r"fsdp=True .* Start the run with torchrun --nproc-per-node N"):
        bench.train("run", settings(fsdp=True))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_resumes_too(bench: Bench, precision: str) -> None:
    config, whole, again = settings(precision=precision, save_every=2), tiny("transformer-xl"), tiny("transformer-xl")
    bench.train("whole", config, model=whole)
    with pytest.raises(PowerCutError):
        bench.train("run", config, model=tiny("transformer-xl"), report=cut_power(3))
    bench.train("run", config, model=again, resume=True)
    assert again.weights_digest() == whole.weights_digest()


def test_remedies_go_on_as_if_they_had_not_been_stopped(bench: Bench) -> None:
    config = settings(
        steps=6, window=4, window_growth=0.6, memory_dropout=0.3, memory_swap=0.3, clip_aux=1e-3, save_every=3, lanes=4
    )
    name = "compressive-transformer"
    whole, again = tiny(name), tiny(name)
    bench.train("whole", config, model=whole)
    with pytest.raises(PowerCutError):
        bench.train("broken", config, report=cut_power(4), model=tiny(name))
    bench.train("broken", config, model=again, resume=True)
    assert again.weights_digest() == whole.weights_digest()
    assert figures(bench.folder / "broken") == figures(bench.folder / "whole")


def test_a_growing_window_cuts_gradients_where_a_short_one_would_and_reads_the_same(bench: Bench) -> None:
    """While it is one chunk, an update is that of as many windows of one chunk."""
    grown, short = tiny(dropout=0.0), tiny(dropout=0.0)
    bench.train("grown", settings(steps=10, window=4, window_growth=1.0), model=grown, report=cut_at(3))
    bench.train("short", settings(steps=10, window=1, accumulate=4), model=short, report=cut_at(3))
    assert grown.weights_digest() == short.weights_digest()


def cut_at(step: int) -> Any:
    def report(progress: Progress) -> None:
        if progress.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return report
