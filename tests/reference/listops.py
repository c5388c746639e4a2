"""ListOps by rewriting: an operation without another one inside is replaced by its value, until a digit is left."""

import re

INNERMOST = re.compile(r"\[(MIN|MAX|MED|SM)((?: \d)+) \]")


def value_of(text: str) -> tuple[int, int]:
    """The value of a tree whose tokens are parted by spaces, and in how many rounds of replacing it was found."""
    rounds = 0
    while "[" in text:
        text, n = INNERMOST.subn(lambda found: str(_apply(found[1], [int(word) for word in found[2].split()])), text)
        assert n, text
        rounds += 1
    return int(text), rounds


def _apply(operation: str, values: list[int]) -> int:
    ranked = sorted(values)
    if operation == "MIN":
        return ranked[0]
    if operation == "MAX":
        return ranked[-1]
    if operation == "SM":
        return int(str(sum(values))[-1])
    below, above = ranked[(len(ranked) - 1) // 2], ranked[len(ranked) // 2]
    return (below + above) // 2
