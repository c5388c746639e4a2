"""What the READMEs show is run here: their Python, and their commands on a small text with a small model."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
SMALL = "--steps 3 --lanes 2 --chunk 32 --set d_model=16 --set n_layers=1 --set n_heads=2 --set d_ff=32"


def blocks(path: Path, language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [body for its_language, body in fenced if its_language == language]


def commands(path: Path) -> list[str]:
    return [line for block in blocks(path, "") for line in block.splitlines() if line.startswith("everlong ")]


def run(code: list[str], folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *code], cwd=folder, input=text, capture_output=True, text=True, check=False)


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = map(commands, READMES)
    assert english == chinese
    assert len(english) >= 6


def test_the_commands_and_both_programs_run(tmp_path: Path) -> None:
    for name in ("book.txt", "other.txt", "part1.txt"):
        (tmp_path / name).write_text("Once upon a time there was a captain. 从前有一位船长。\n" * 80, encoding="utf-8")
    pairs = [json.dumps({"source": f"{n} dogs", "target": f"{n} Hunde"}) for n in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(pairs), encoding="utf-8")
    papers = [json.dumps({"document": "A captain sailed. 他走了。", "summary": "He sailed."})] * 9
    (tmp_path / "papers.jsonl").write_text("\n".join(papers), encoding="utf-8")
    (tmp_path / "other.txt").write_text("Two captains.\n\nOne captain. 从前有一位船长。\n" * 9, encoding="utf-8")
    for command in commands(READMES[0]):
        if ".jsonl" in command:
            command = command.replace("--minutes 10", SMALL.replace(" --chunk 32", ""))
        words = shlex.split(
            command.replace("--minutes 10", SMALL).replace("--steps 10000", "--steps 3").replace("0,1,2", "0")
        )
        done = run(["-m", *words], tmp_path, text="Hello.\n")
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    for program in blocks(READMES[0], "python"):
        done = run(["-c", program], tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_the_first_program_runs(path: Path, tmp_path: Path) -> None:
    done = run(["-c", blocks(path, "python")[0]], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "book.memory").stat().st_size > 0


@pytest.mark.parametrize("path", [*READMES, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_make_commands_of_the_readme_are_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"^make ([\w-]+)", "\n".join(blocks(READMES[0], "")), flags=re.M)
    assert named[:2] == ["demo", "test"]
    assert all(re.search(rf"^{name}:", makefile, flags=re.M) for name in named)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    done = run([str(path)], tmp_path)
    assert done.returncode == 0, done.stderr
