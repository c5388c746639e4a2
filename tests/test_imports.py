"""Data flows one way: a module imports only what lies below it."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import everlong

ROOT = Path(everlong.__file__).parent

# From the ground up. A room may import every room before it, and itself.
ROOMS = [
    "errors",
    "wording",
    "report",
    "shapes",
    "storage",
    "memory",
    "clock",
    "config",
    "nn",
    "heads",
    "models",
    "testing",
    "data",
    "checkpoint",
    "evaluate",
    "train",
    "generate",
    "session",
    "run",
    "interop",
    "demo",
    "cli",
    "__main__",
]
MODULES = sorted(path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))


def room(module: Path) -> str:
    return module.parts[0]


def rooms_imported(module: Path) -> dict[str, int]:
    """Rooms that a module imports anywhere in its code, with the line."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse((ROOT / module).with_suffix(".py").read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively; write everlong.…"
            names = (
                [f"everlong.{alias.name}" for alias in node.names] if node.module == "everlong" else [str(node.module)]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("everlong."):
                found[name.split(".")[1]] = node.lineno
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_down(module: Path) -> None:
    if room(module) == "__init__":
        return  # the front door opens on every room
    assert room(module) in ROOMS, f"{module} is in no room: give it a place in ROOMS, above what it imports"
    height = ROOMS.index(room(module))
    upwards = {to: line for to, line in rooms_imported(module).items() if ROOMS.index(to) > height}
    assert upwards == {}, f"{module}.py imports rooms above its own (room: line)"


def test_parts_know_no_models_and_the_ground_knows_no_parts() -> None:
    for module in MODULES:
        if room(module) in ("errors", "shapes", "storage", "memory", "clock", "config"):
            assert "nn" not in rooms_imported(module)
        if room(module) == "nn":
            assert set(rooms_imported(module)) <= {"clock", "shapes", "nn"}


def test_every_room_is_there() -> None:
    assert {room(module) for module in MODULES} - {"__init__"} == set(ROOMS)


def test_what_is_optional_is_not_imported_at_the_door() -> None:
    optional = ["matplotlib", "jinja2", "tensorboard", "zstandard", "PIL", "hypothesis", "beartype", "pytest"]
    told = f"import sys, everlong.models, everlong.data, everlong.testing; print(set({optional}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_modules_can_each_be_imported() -> None:
    for module in MODULES:
        if module.name != "__main__":
            name = ".".join(("everlong", *module.parts)).removesuffix(".__init__")
            assert importlib.import_module(name).__doc__, f"{name} does not say what it is for"
