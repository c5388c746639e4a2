import pytest

from everlong.errors import ConfigError
from everlong.train import TrainConfig
from everlong.train.config import RESULT_NEUTRAL


def test_a_run_needs_an_end() -> None:
    with pytest.raises(ConfigError, match="would train for ever; give one of them"):
        TrainConfig(steps=0)
    assert TrainConfig(steps=0, minutes=1).minutes == 1


def test_half_precision_and_sharding_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="fsdp does not support; give precision='bfloat16'"):
        TrainConfig(fsdp=True, precision="float16")


def test_hidden_tokens_need_no_memory() -> None:
    with pytest.raises(ConfigError, match="task='mlm' carries no memory that memory_dropout could drop"):
        TrainConfig(task="mlm", memory_dropout=0.1)


@pytest.mark.parametrize("setting", [{"long_weight": 5.0}, {"favour": 1.0}])
@pytest.mark.parametrize("task", ["mlm", "copy", "classify"])
def test_long_dependencies_are_favoured_in_streams_of_documents(setting: dict[str, float], task: str) -> None:
    message = f"task='{task}' reads no stream of documents; leave long_weight at 1 and favour at 0"
    with pytest.raises(ConfigError, match=message):
        TrainConfig.parse({"task": task, **setting})
    assert TrainConfig.parse({"task": "dialogue", **setting}) == TrainConfig(task="dialogue", **setting)


@pytest.mark.parametrize("task", ["dialogue", "mlm", "copy"])
def test_passages_are_mixed_into_text_alone(task: str) -> None:
    with pytest.raises(ConfigError, match=f"task='{task}' is not mixed with generated passages; leave mix at"):
        TrainConfig.parse({"task": task, "mix": [0.0, 0.5]})


def test_the_share_of_passages_follows_a_line() -> None:
    config = TrainConfig.parse({"mix": [0.4, 0.1]})
    assert [config.mix_share(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([0.4, 0.25, 0.1])
    assert TrainConfig.parse(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("task", "wlm", "TrainConfig.task = 'wlm' does not fit: Input should be 'lm', 'mlm', 'dialogue', 'copy'"),
        ("mask_rate", 0.0, "TrainConfig.mask_rate = 0.0 does not fit: Input should be greater than 0"),
        ("mask_unit", "byte", "Input should be 'token', 'word' or 'span'"),
        ("lr", 0.0, "TrainConfig.lr = 0.0 does not fit: Input should be greater than 0"),
        ("lr", float("nan"), "TrainConfig.lr = nan does not fit"),
        ("memory_dropout", 1.5, "less than or equal to 1"),
        ("long_weight", 0.5, "greater than or equal to 1"),
        ("favour", -1.0, "greater than or equal to 0"),
        ("mix", [0.2, 1.2], "less than or equal to 1"),
        ("mix", 0.2, "TrainConfig.mix = 0.2 does not fit: Input should be a valid tuple"),
        ("precision", "float64", "'float32', 'bfloat16' or 'float16'"),
        ("lane", 4, "no field 'lane'. Did you mean 'lanes'"),
    ],
)
def test_an_impossible_setting_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.parse({field: value})


def test_neutral_fields_exist() -> None:
    assert set(TrainConfig.model_fields) >= RESULT_NEUTRAL


def test_the_rate_rises_on_a_line_then_falls_on_a_cosine() -> None:
    config = TrainConfig(steps=100, warmup=4, lr=1.0, min_lr_ratio=0.2)
    rates = [config.learning_rate(step=step, seconds=0.0) for step in range(101)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[50] == pytest.approx(0.6)
    assert rates[100] == pytest.approx(0.2)
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_without_warm_up_the_first_rate_is_the_highest() -> None:
    assert TrainConfig(steps=10, warmup=0, lr=0.5).learning_rate(step=0, seconds=0.0) == 0.5


def test_the_schedule_follows_the_limit_that_is_nearer() -> None:
    config = TrainConfig(steps=100, minutes=1.0)
    assert config.fraction_done(step=10, seconds=30.0) == 0.5
    assert config.fraction_done(step=90, seconds=30.0) == 0.9
    assert config.fraction_done(step=90, seconds=600.0) == 1.0


def test_time_does_not_count_where_steps_are_the_limit() -> None:
    config = TrainConfig(steps=100)
    assert config.learning_rate(step=20, seconds=1e9) == config.learning_rate(step=20, seconds=0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "mlm", "memory_swap": 0.1}, "task='mlm' carries no memory that memory_swap could swap"),
        ({"memory_swap": 0.1, "lanes": 1}, "lanes=1 leaves memory_swap no other memory to go on with"),
        ({"memory_dropout": 0.6, "memory_swap": 0.5}, "are chances of one lane; choose two that add up to 1 at most"),
        ({"task": "copy", "window": 2, "window_growth": 0.5}, "from chunk to chunk, so no window can grow"),
        ({"window_growth": 0.5}, "window=1 leaves window_growth nothing to grow to; choose a window of 2"),
        ({"clip_aux": 0.1, "precision": "float16"}, "scales all losses together, and clip_aux takes some apart"),
        ({"diagnose_every": 5, "fsdp": True}, "fsdp=True shares out the weights that diagnose_every looks at"),
        ({"window": 4, "window_growth": 1.5}, "TrainConfig.window_growth = 1.5 does not fit"),
        ({"clip_aux": -1.0}, "TrainConfig.clip_aux = -1.0 does not fit"),
        ({"diagnose_every": -1}, "TrainConfig.diagnose_every = -1 does not fit"),
    ],
)
def test_remedies_that_cannot_work_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.parse(fields)


@pytest.mark.parametrize(("window", "sizes"), [(8, [1, 2, 4]), (6, [1, 2, 4]), (2, [1])])
def test_a_window_grows_by_doubling_over_its_part_of_the_run(window: int, sizes: list[int]) -> None:
    config = TrainConfig(steps=120, window=window, window_growth=0.5)
    found = [config.window_now(step=step, seconds=0.0) for step in range(120)]
    every = 60 // len(sizes)
    assert found == [size for size in sizes for _ in range(every)] + [window] * 60
    assert {TrainConfig(window=window).window_now(step=step, seconds=0.0) for step in (0, 500)} == {window}
