"""Shape annotations, checked while the tests run: every function of the package that has one is wrapped.

jaxtyping's own pytest plugin hands whole signatures to beartype, which refuses ``Self`` and plain protocols, and makes
small models four times slower. So only the hints about shapes are kept here, pyright having checked the rest, and a
function that was called with the same shapes before is not checked again.
"""

import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import types
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor

SPEAKS_OF_SHAPES = re.compile(r"^from (jaxtyping|everlong\.shapes) import", re.MULTILINE)
CONTAINERS = (tuple, list, dict, Union, types.UnionType)


def check_package(name: str) -> int:
    """Import what in a package speaks of shapes, wrap its functions wherever they are known, and count them."""
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        spec = importlib.util.find_spec(found.name)
        assert spec is not None
        assert spec.origin is not None
        if SPEAKS_OF_SHAPES.search(Path(spec.origin).read_text()):
            importlib.import_module(found.name)
    wrapped: dict[int, Any] = {}
    for key, module in list(sys.modules.items()):
        if key != name and not key.startswith(f"{name}."):
            continue
        for owner, member, value in list(_members(module)):
            checked = wrapped.get(id(value)) or _checked(value)
            if checked is not None:
                wrapped[id(value)] = checked
                setattr(owner, member, checked)
    return len(wrapped)


def shapes_only(hint: Any) -> Any:
    """The hint with everything that says nothing about shapes replaced by `Any`; `Any` when nothing is left."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return hint
    origin = get_origin(hint)
    if origin not in CONTAINERS:
        return Any
    inner = [part if part in (Ellipsis, types.NoneType) else shapes_only(part) for part in get_args(hint)]
    if all(part in (Any, Ellipsis, types.NoneType) for part in inner):
        return Any
    if origin in (Union, types.UnionType):
        return functools.reduce(lambda one, other: one | other, inner)
    return origin[tuple(inner)]


def _members(module: types.ModuleType) -> Iterator[tuple[Any, str, Any]]:
    """Functions that a module has or has imported, and members of its own classes."""
    for key, value in vars(module).items():
        if isinstance(value, types.FunctionType):
            yield module, key, value
        if isinstance(value, type) and value.__module__ == module.__name__:
            yield from ((value, name, member) for name, member in vars(value).items())


def _checked(member: Any) -> Any:
    if isinstance(member, property):
        getter = _checked(member.fget)
        return getter and property(getter, member.fset, member.fdel, member.__doc__)
    if isinstance(member, staticmethod | classmethod):
        inner = _checked(member.__func__)
        return inner and type(member)(inner)
    return _once_a_shape(member) if isinstance(member, types.FunctionType) else None


def _once_a_shape(function: Callable[..., Any]) -> Callable[..., Any] | None:
    hints = {name: shapes_only(hint) for name, hint in inspect.get_annotations(function).items()}
    hints = {name: hint for name, hint in hints.items() if hint is not Any}
    if not hints:
        return None

    @functools.wraps(function)
    def bare(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    stated = inspect.signature(function)
    parameters = [it.replace(annotation=hints.get(name, Any)) for name, it in stated.parameters.items()]
    said = stated.replace(parameters=parameters, return_annotation=hints.get("return", Any))
    bare.__signature__ = said  # type: ignore[attr-defined]
    bare.__annotations__ = hints
    checked = jaxtyped(bare, typechecker=beartype)
    seen: set[Hashable] = set()

    @functools.wraps(function)
    def once(*args: Any, **kwargs: Any) -> Any:
        key = (_shape(args), _shape(tuple(kwargs.items())))
        if key in seen:
            return function(*args, **kwargs)
        result = checked(*args, **kwargs)
        seen.add(key)
        return result

    return once


def _shape(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return value.shape, value.dtype
    if isinstance(value, tuple | list):
        return tuple(map(_shape, value))
    return value if isinstance(value, str | int | float | bool | None) else type(value)
