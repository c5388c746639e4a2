"""Public names: what a package offers is what it imports, in order, and all of it is there."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import everlong

ROOT = Path(everlong.__file__).parent
PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT.parent).parts)
    for path in ROOT.rglob("__init__.py")
    if "__all__" in path.read_text()
)


def imported_names(package: str) -> list[str]:
    tree = ast.parse(Path(str(importlib.import_module(package).__file__)).read_text())
    found = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("everlong")
        for alias in node.names
    ]
    return sorted(found, key=as_ruff_sorts)


def as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions; each by the alphabet."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_sorted_and_true(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__, key=as_ruff_sorts)
    assert module.__all__ == imported_names(package)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_the_package_offers_what_the_readme_promises() -> None:
    assert {"Session", "create_model", "list_models", "load", "load_memory"} <= set(everlong.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'everlong' has no attribute 'creat_model'\. It offers "):
        _ = everlong.creat_model


def test_asking_for_the_package_does_not_wait_for_torch() -> None:
    told = "import sys, everlong; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_module_says_what_it_is() -> None:
    silent = [str(path) for path in ROOT.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_types_are_published() -> None:
    assert (ROOT / "py.typed").exists()
