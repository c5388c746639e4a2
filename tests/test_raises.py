"""Every sentence that the package raises is matched by some test: untested messages are wrong messages.

A raise is covered by a ``match=`` pattern, or by words that a test looks for ``in`` a message or gives to
`require_refusal` (tests/cli), that fit its wording with anything in the places of its braces. A pattern speaks for the
raise it fits best: by the letters they share, then by living in the same room, then by how little it leaves out. One
that fits several equally well speaks for none.
"""

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import everlong

SOURCE = Path(everlong.__file__).parent
TESTS = Path(__file__).parent
ANYTHING = "\0"

ENOUGH = 6
"""Letters that a pattern and a sentence must share."""
HOLES = 3
"""Most placeholders in a row, or fewer."""
END, NEVER = 1, -1000
"""No letter of any sentence; no number of letters."""

# Raises whose text is made elsewhere, or which nobody sees: where it is made, and which test reads it.
MADE_ELSEWHERE: dict[tuple[str, str], str] = {
    ("cli/settings.py", "_unknown(key, configs)"): "cli.settings._unknown; tests/cli/test_settings.py",
    ("cli/settings.py", "_unknown(name, configs)"): "cli.settings._unknown; tests/cli/test_settings.py",
    ("config.py", "self._explain(error)"): "Config._explain; tests/unit/test_config.py matches each of its sentences",
    ("data/source.py", "'the last frame has no end'"): "caught beside gzip's EOFError, as 'damaged or cut short'",
    ("testing/laws.py", "f'{place}: {found}. {self.remedy}'"): "a judge's sentence; tests/laws matches each of them",
    ("train/distribution.py", "text"): "the error of another rank, which raised it by its own name",
}


@dataclass(frozen=True)
class Raise:
    """A raise and its sentence, with `ANYTHING` for every placeholder."""

    place: str
    sentence: str


def said(node: ast.expr) -> str | None:
    """The text of a string expression; ``None`` when it is not written here."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(said(part) or ANYTHING for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (said(node.left) or ANYTHING) + (said(node.right) or ANYTHING)
    return None


def raises() -> Iterator[tuple[str, str, Raise | None]]:
    """File, expression and sentence of every raise with a message; exits have a code instead."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
                continue
            if ast.unparse(node.exc.func) in ("SystemExit", "typer.Exit"):
                continue
            sentence = said(node.exc.args[0])
            expression = ast.unparse(node.exc.args[0])
            if sentence is None or len(letters(sentence)) < ENOUGH or (name, expression) in MADE_ELSEWHERE:
                yield name, expression, None
            else:
                yield name, expression, Raise(f"{name}:{node.lineno}", sentence)


def letters(sentence: str) -> str:
    """A sentence without placeholders, spaces and punctuation."""
    return "".join(filter(str.isalnum, sentence))


@functools.cache
def sentences() -> tuple[Raise, ...]:
    return tuple(found for _, _, found in raises() if found is not None)


@functools.cache
def patterns() -> frozenset[tuple[str, str]]:
    """File and wording of every ``match=`` and every ``"…" in``, with `ANYTHING` for what a pattern leaves open.

    Where a match is given by name, or through `require_refusal`, every string of that file may be meant.
    """
    found: set[tuple[str, str]] = set()
    for path in TESTS.rglob("test_*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        regular = [said(word.value) for call in calls for word in call.keywords if word.arg == "match"]
        strings = [said(node) or "" for node in nodes if isinstance(node, ast.expr)]
        if None in regular:
            regular += strings
        compared = [node for node in nodes if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In)]
        words = [without_operators(text) for text in regular if text] + [said(node.left) or "" for node in compared]
        if any(isinstance(call.func, ast.Attribute) and call.func.attr == "require_refusal" for call in calls):
            words += strings
        found |= {(str(path.relative_to(TESTS)), text) for text in words if text}
    return frozenset(found)


def without_operators(pattern: str) -> str:
    """A regular expression as literal text with `ANYTHING` where it leaves room."""
    pattern = re.sub(r"\(\?[a-z:]+|\\[dDwWsSbB]|(?<!\\)\[(\\.|[^\]\\])*(?<!\\)\]", ANYTHING, pattern)
    pattern = re.sub(r"(?<!\\)\(([^()]*\|[^()]*)(?<!\\)\)", ANYTHING, pattern)
    pattern = re.sub(r"(?<!\\)[.*+?^$(){}|]", ANYTHING, pattern)
    return re.sub(f"{ANYTHING}+", ANYTHING, re.sub(r"\\(.)", r"\1", pattern))


def codes(sentences: Sequence[str]) -> NDArray[np.uint32]:
    """Sentences as a table of letters, a row each, with zeros for placeholders and `END` behind the last letter."""
    width = max(map(len, sentences))
    table = np.full((len(sentences), width), END, np.uint32)
    for row, sentence in zip(table, sentences, strict=True):
        row[: len(sentence)] = [ord(letter) for letter in sentence]
    return table


def fit(pattern: str, table: NDArray[np.uint32]) -> NDArray[np.int16]:
    """How many letters of a pattern stand in the written words of each sentence; 0 where the pattern does not fit."""
    # best[n, j]: letters agreed so far with sentence n read up to j, or NEVER. A pattern may begin and end anywhere.
    best = np.zeros((len(table), table.shape[1] + 1), np.int16)
    holes = table == ord(ANYTHING)
    for letter in pattern:
        if letter == ANYTHING:
            # It may stand for any part of a sentence.
            best = np.maximum.accumulate(best, axis=1)
            continue
        after = np.full_like(best, NEVER)
        here = table == ord(letter)
        after[:, 1:][here] = best[:, :-1][here] + np.int16(letter.isalnum())
        # A placeholder may stand for this letter, whatever it is, and for more.
        after[:, :-1][holes] = np.maximum(after[:, :-1], best[:, :-1])[holes]
        best = np.maximum(after, NEVER)
        for _ in range(HOLES):
            # It may stand for nothing.
            best[:, 1:][holes] = np.maximum(best[:, 1:], best[:, :-1])[holes]
    return best.max(axis=1).clip(min=0)


@functools.cache
def covered() -> frozenset[str]:
    """The places that some pattern speaks for."""
    every = sentences()
    table = codes([found.sentence for found in every])
    homes: dict[str, set[str]] = {}
    for home, pattern in patterns():
        homes.setdefault(pattern, set()).add(home)
    spoken: set[str] = set()
    for pattern, where in homes.items():
        words = re.findall(r"\w{3,}", pattern)
        likely = [n for n, found in enumerate(every) if any(word in found.sentence for word in words)]
        if len(letters(pattern)) < ENOUGH or not likely:
            continue
        shared = dict(zip(likely, fit(pattern, table[likely]).tolist(), strict=True))
        for home in where:
            scores = {every[n]: score(every[n], agreed, home) for n, agreed in shared.items()}
            best = max(scores.values())
            winners = [found for found, its in scores.items() if its == best]
            if best[0] >= ENOUGH and len({letters(found.sentence) for found in winners}) == 1:
                spoken |= {found.place for found in winners}
    return frozenset(spoken)


def score(found: Raise, shared: int, home: str) -> tuple[int, bool, int]:
    """How well a pattern of a test fits: shared letters, whether it lives in the same room, and what it leaves out."""
    near = any(part.removesuffix(".py") in home for part in Path(found.place.split(":")[0]).parts)
    return shared, near, shared - len(letters(found.sentence))


def test_a_test_matches_each_sentence() -> None:
    # One test for all, so that the work is done by one process.
    missing = [found for found in sentences() if found.place not in covered()]
    shown = [f"{found.place}: {found.sentence.replace(ANYTHING, '…')}" for found in missing]
    assert not shown, "no match= in tests/ speaks for these sentences alone"


def test_every_sentence_is_written_where_it_is_raised() -> None:
    elsewhere = {(name, expression) for name, expression, found in raises() if found is None}
    assert elsewhere == set(MADE_ELSEWHERE), "write the sentence in the raise, or say where it is made and tested"


@pytest.mark.parametrize(
    ("pattern", "sentence", "fits"),
    [
        ("lanes, memory has", f"tokens have {ANYTHING} lanes, memory has {ANYTHING}. Choose", 14),
        ("tokens have 3 lanes", f"tokens have {ANYTHING} lanes, memory has {ANYTHING}. Choose", 15),
        (r"have 3 .*init_memory\(3\)", f"tokens have {ANYTHING} lanes: model.init_memory({ANYTHING}).", 14),
        ("memory had", f"tokens have {ANYTHING} lanes, memory has 2", 0),
        ("nothing of the kind", f"tokens have {ANYTHING} lanes", 0),
        (r"\[(one|two)\] file", f"[{ANYTHING}] file", 4),
    ],
)
def test_fit(pattern: str, sentence: str, fits: int) -> None:
    assert fit(without_operators(pattern), codes([sentence])).tolist() == [fits]
