"""Every sentence that the package raises is matched by some test: untested messages are wrong messages.

A raise is covered by a ``match=`` pattern, or by words that a test looks for ``in`` a message or gives to
`require_refusal` (tests/cli), that fit its wording with anything in the places of its braces. A pattern speaks for the
raise it fits best: by the letters they share, then by living in the same room, then by how little it leaves out. One
that fits several equally well speaks for none.
"""

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import everlong

SOURCE = Path(everlong.__file__).parent
TESTS = Path(__file__).parent
ANYTHING = "\0"

ENOUGH = 6
"""Letters that a pattern and a sentence must share."""

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


def fit(pattern: str, sentence: str) -> int:
    """How many letters of a pattern stand in the written words of a sentence; 0 when the pattern does not fit."""
    # best[j]: letters agreed so far with the sentence read up to j. A pattern may begin and end anywhere.
    best: list[int | None] = [0] * (len(sentence) + 1)
    for letter in pattern:
        after: list[int | None] = [None] * (len(sentence) + 1)
        for j, agreed in enumerate(best):
            if agreed is None:
                continue
            if letter == ANYTHING:
                after[j] = max(after[j] or 0, agreed)
            elif j < len(sentence) and sentence[j] == letter:
                after[j + 1] = max(after[j + 1] or 0, agreed + letter.isalnum())
            if j < len(sentence) and sentence[j] == ANYTHING and letter != ANYTHING:
                after[j] = max(after[j] or 0, agreed)
        best = _spread(after, sentence, everywhere=letter == ANYTHING)
    return max((agreed for agreed in best if agreed is not None), default=0)


def _spread(best: list[int | None], sentence: str, *, everywhere: bool) -> list[int | None]:
    """Placeholders of the sentence may stand for nothing; an operator of the pattern for any part of the sentence."""
    for j in range(len(sentence)):
        here, there = best[j], best[j + 1]
        if here is not None and (everywhere or sentence[j] == ANYTHING):
            best[j + 1] = max(there or 0, here)
    return best


@functools.cache
def covered() -> frozenset[str]:
    """The places that some pattern speaks for."""
    spoken: set[str] = set()
    for home, pattern in patterns():
        words = re.findall(r"\w{3,}", pattern)
        scores: dict[Raise, tuple[int, bool, int]] = {}
        for found in sentences():
            if any(word in found.sentence for word in words):
                shared = fit(pattern, found.sentence)
                near = any(part.removesuffix(".py") in home for part in Path(found.place.split(":")[0]).parts)
                scores[found] = (shared, near, shared - len(letters(found.sentence)))
        best = max(scores.values(), default=(0, False, 0))
        winners = [found for found, score in scores.items() if score == best]
        if best[0] >= ENOUGH and len({letters(found.sentence) for found in winners}) == 1:
            spoken |= {found.place for found in winners}
    return frozenset(spoken)


@pytest.mark.parametrize("found", sentences(), ids=lambda found: found.place)
def test_a_test_matches_the_sentence(found: Raise) -> None:
    shown = found.sentence.replace(ANYTHING, "…")
    assert found.place in covered(), f"no match= in tests/ speaks for this sentence alone: {shown}"


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
    assert fit(without_operators(pattern), sentence) == fits
