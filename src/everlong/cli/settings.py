"""``--set key=value`` and ``--config FILE``: fields of a model and of its training, from words and files."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from everlong.config import Config
from everlong.errors import ConfigError, did_you_mean

Fields = dict[str, Any]


def parse_assignments(words: Sequence[str]) -> Fields:
    """Fields from ``key=value`` words. A value is JSON where it can be (``3e-4``, ``true``, ``[2000]``), else text.

    Raises:
        ConfigError: a word has no ``=``, or a key is given twice.
    """
    fields: Fields = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"--set {word} is not a setting. Write --set key=value, for example --set d_model=256.")
        if key in fields:
            raise ConfigError(f"--set gives '{key}' twice. Give it once.")
        fields[key] = _value(value.strip())
    return fields


def read_fields(path: Path) -> Fields:
    """Fields from a JSON or TOML file: plain names, names like ``train.lr``, or tables ``model`` and ``train``.

    Raises:
        ConfigError: the file cannot be read, is neither JSON nor TOML, or holds no table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read --config {path}: {reason}. Give a JSON or TOML file.") from error
    try:
        found: object = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"--config {path} cannot be read ({error}). Give a JSON file (.json) or a TOML file."
        ) from error
    if not isinstance(found, dict):
        raise ConfigError(
            f'--config {path} is not a table of settings. Write {{"d_model": 256, "train": {{"lr": 1e-3}}}}.'
        )
    return _flat(cast("Fields", found))


def merge_fields(*sources: Mapping[str, Any]) -> Fields:
    """Fields of all sources together.

    Raises:
        ConfigError: two sources give a field different values.
    """
    merged: Fields = {}
    for source in sources:
        for name, value in source.items():
            if name in merged and merged[name] != value:
                raise ConfigError(f"'{name}' is given twice, as {merged[name]} and as {value}. Give it once.")
            merged[name] = value
    return merged


def assign_fields(fields: Mapping[str, Any], configs: Mapping[str, type[Config]]) -> dict[str, Fields]:
    """Each field given to the config that has it: ``prefix.name`` to that config, a plain name to the only one.

    Raises:
        ConfigError: no config, or more than one, has a field of that name.
    """
    given: dict[str, Fields] = {prefix: {} for prefix in configs}
    for key, value in fields.items():
        prefix, dot, name = key.partition(".")
        if not dot:
            prefix, name = _owner(key, configs), key
        elif prefix not in configs or name not in configs[prefix].model_fields:
            raise ConfigError(_unknown(key, configs))
        if name in given[prefix]:
            raise ConfigError(f"'{name}' is given twice, as {name} and as {prefix}.{name}. Give it once.")
        given[prefix][name] = value
    return given


def _owner(name: str, configs: Mapping[str, type[Config]]) -> str:
    owners = [prefix for prefix, config in configs.items() if name in config.model_fields]
    if not owners:
        raise ConfigError(_unknown(name, configs))
    if len(owners) > 1:
        raise ConfigError(f"'{name}' may mean {' or '.join(f'{owner}.{name}' for owner in owners)}. Write one of them.")
    return owners[0]


def _unknown(key: str, configs: Mapping[str, type[Config]]) -> str:
    known = {name: prefix for prefix, config in configs.items() for name in config.model_fields}
    lists = "; ".join(
        f"{prefix} settings are {', '.join(sorted(config.model_fields))}" for prefix, config in configs.items()
    )
    return f"there is no setting '{key}'.{did_you_mean(key.rpartition('.')[2], known)} The {lists}."


def _flat(tables: Fields) -> Fields:
    fields: Fields = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            fields |= {f"{key}.{name}": inner for name, inner in cast("Fields", value).items()}
        else:
            fields[key] = value
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
