"""--set and --config: values, names, tables, and the order in which they win."""

from pathlib import Path

import pytest

from everlong.cli.recipe import new_recipe
from everlong.cli.settings import assign_fields, merge_fields, parse_assignments, read_fields
from everlong.config import Config
from everlong.errors import ConfigError


class Engine(Config):
    power: int = 1
    shared: int = 1


class Hull(Config):
    length: int = 1
    shared: int = 1


CONFIGS: dict[str, type[Config]] = {"engine": Engine, "hull": Hull}


def test_values_are_json_where_they_can_be() -> None:
    found = parse_assignments(["a=3e-4", "b=true", "c=[1,2]", "d=post", "e=", "f=x=y"])
    assert found == {"a": 3e-4, "b": True, "c": [1, 2], "d": "post", "e": "", "f": "x=y"}


@pytest.mark.parametrize("word", ["lr", "=3", " =3"])
def test_a_word_without_key_or_value_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a setting\. Write --set key=value"):
        parse_assignments([word])


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="--set gives 'a' twice"):
        parse_assignments(["a=1", "a=2"])


def test_names_find_the_config_that_has_them() -> None:
    found = assign_fields({"power": 2, "hull.shared": 3, "length": 4}, CONFIGS)
    assert found == {"engine": {"power": 2}, "hull": {"shared": 3, "length": 4}}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"powr": 1}, r"no setting 'powr'. Did you mean 'power'\?.*engine settings are power, shared"),
        ({"sail.power": 1}, r"no setting 'sail.power'. Did you mean 'power'\?"),
        ({"hull.power": 1}, "no setting 'hull.power'"),
        ({"shared": 1}, "'shared' may mean engine.shared or hull.shared"),
        ({"power": 1, "engine.power": 2}, "'power' is given twice, as power and as engine.power"),
    ],
)
def test_names_that_find_none_or_several_are_refused(fields: dict[str, int], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        assign_fields(fields, CONFIGS)


def test_sources_of_one_rank_must_agree() -> None:
    assert merge_fields({"a": 1}, {"a": 1, "b": 2}) == {"a": 1, "b": 2}
    with pytest.raises(ConfigError, match="'a' is given twice, as 1 and as 2"):
        merge_fields({"a": 1}, {"a": 2})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", '{"lr": 0.1, "model": {"d_model": 8}, "train.steps": 3}'),
        ("s.toml", '"train.steps" = 3\nlr = 0.1\n[model]\nd_model = 8'),
    ],
)
def test_files_have_names_and_tables(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_fields(tmp_path / name) == {"lr": 0.1, "model.d_model": 8, "train.steps": 3}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("s.json", b"[1]", "is not a table of settings"),
        ("s.json", b"{", "cannot be read"),
        ("s.toml", b"a = ", "cannot be read"),
        ("s.toml", b"\xff", "it is not UTF-8 text"),
    ],
)
def test_files_that_hold_no_settings_are_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        read_fields(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot read --config"):
        read_fields(tmp_path / "missing.toml")


def test_a_byte_order_mark_of_a_settings_file_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(b"\xef\xbb\xbfd_model = 8\r\n")
    (tmp_path / "s.json").write_bytes(b'\xef\xbb\xbf{"d_model": 8}')
    assert read_fields(tmp_path / "s.toml") == read_fields(tmp_path / "s.json") == {"d_model": 8}


def test_later_layers_win() -> None:
    recipe = new_recipe("gru", [{"train.lr": 0.5, "d_model": 8}, {"lr": 0.25}])
    assert (recipe.training.lr, recipe.fields) == (0.25, {"d_model": 8})


def test_time_alone_is_the_only_limit() -> None:
    assert new_recipe("gru", [{"minutes": 2.0}]).training.steps == 0
    assert new_recipe("gru", [{"minutes": 2.0}, {"steps": 5}]).training.steps == 5
    assert new_recipe("gru", []).training.steps == 1000


def test_the_seed_decides_the_weights() -> None:
    first, second = (new_recipe("gru", [{"d_model": 4}, {"seed": seed}]).build(vocab_size=9) for seed in (0, 0))
    other = new_recipe("gru", [{"d_model": 4}, {"seed": 1}]).build(vocab_size=9)
    assert first.weights_digest() == second.weights_digest() != other.weights_digest()


def test_the_vocabulary_is_not_a_setting() -> None:
    with pytest.raises(ConfigError, match="vocab_size is that of the tokenizer"):
        new_recipe("gru", [{"vocab_size": 3}])
