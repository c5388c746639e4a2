"""Conversations of two sessions, for tests: what is told in the first is asked for in the second."""

import json
import random
from pathlib import Path
from typing import Any

NAMES = {"en": ["Tim", "Ann", "Bob", "Eva"], "zh": ["小明", "小红", "大伟", "阿强"]}
WORDS = {
    "en": ("user", "system", "I am {}.", "Hi.", "Who am I?", "{}."),
    "zh": ("用户", "助手", "我叫{}。", "你好。", "我叫什么？", "{}。"),
}


def conversations(count: int, *, seed: int, language: str = "en") -> list[dict[str, Any]]:
    """Conversations whose second session can be foreseen whole by who remembers the first, and is a guess otherwise."""
    rng = random.Random(seed)
    user, system, told, hello, question, answered = WORDS[language]
    found: list[dict[str, Any]] = []
    for _ in range(count):
        name = rng.choice(NAMES[language])
        first = [{"speaker": user, "text": told.format(name)}, {"speaker": system, "text": hello}]
        second = [{"speaker": user, "text": question}, {"speaker": system, "text": answered.format(name)}]
        found.append({"sessions": [{"turns": first}, {"turns": second}]})
    return found


def write_lines(path: Path, *records: object) -> Path:
    """JSON lines in a file."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path
