"""The tree of errors and the nearest word."""

import inspect

import pytest

from everlong import errors
from everlong.errors import EverlongError, did_you_mean

TREE = {
    "ConfigError": ValueError,
    "DataError": ValueError,
    "ShapeError": ValueError,
    "MemoryMismatch": ValueError,
    "DamagedFile": ValueError,
    "RunError": RuntimeError,
    "Diverged": RuntimeError,
    "ContractViolation": AssertionError,
}


@pytest.mark.parametrize(("name", "builtin"), TREE.items())
def test_every_error_is_everlongs_and_a_builtin(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)
    assert issubclass(error, EverlongError)
    assert issubclass(error, builtin)


def test_the_tree_drawn_in_the_docstring_is_the_tree() -> None:
    found = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, EverlongError)
    }
    assert found == {*TREE, "EverlongError"}
    assert errors.__doc__ is not None
    for name, builtin in TREE.items():
        line = next(line for line in errors.__doc__.splitlines() if f"── {name} " in line)
        assert line.endswith(f"({builtin.__name__})")


def test_did_you_mean_suggests_the_nearest_or_nothing() -> None:
    assert did_you_mean("transfomer", ["gru", "transformer"]) == " Did you mean 'transformer'?"
    assert did_you_mean("记忆", ["记忆网", "gru"]) == " Did you mean '记忆网'?"
    assert did_you_mean("zebra", ["gru", "lstm"]) == ""
    assert did_you_mean("gru", []) == ""
