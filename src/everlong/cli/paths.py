"""``--data a b c``: every word after the option, as shells expand ``texts/*.txt``."""

from typing import Any

from typer.core import TyperCommand

MANY = ("--data", "--valid")


class ManyPaths(TyperCommand):
    """A command whose path options take any number of words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each word, which is the form the parser knows."""
        return super().parse_args(ctx, repeat_options(args, MANY))


def repeat_options(words: list[str], options: tuple[str, ...]) -> list[str]:
    """The words with each option repeated before every value that follows it.

    >>> repeat_options(["gru", "--data", "a", "b", "--out", "c"], ("--data",))
    ['gru', '--data', 'a', '--data', 'b', '--out', 'c']
    """
    spread: list[str] = []
    current, values = "", 0
    for place, word in enumerate(words):
        if word == "--":
            return [*spread, *words[place:]]
        if word in options:
            current, values = word, 0
        elif word.startswith("-") and word != "-":
            current = ""
        elif current:
            values += 1
            if values > 1:
                spread.append(current)
        spread.append(word)
    return spread
