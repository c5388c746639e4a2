"""Statements of the variable-tracking task, run one after another, and its questions answered."""


def answers(text: str) -> list[tuple[str, int]]:
    """For each question of a text, its value and how many assignments lead to it. All words are parted by spaces."""
    values: dict[str, tuple[str, int]] = {}
    found: list[tuple[str, int]] = []
    words = text.split(" ")
    for n, word in enumerate(words):
        if word != "var":
            continue
        name, sign, *right = words[n + 1 : n + 5]
        if sign == "=" and right[0] == "var":
            value, steps = values[right[1]]
            values[name] = (value, steps + 1)
        elif sign == "=":
            values[name] = (right[0], 1)
        elif sign == "?":
            found.append(values[name])
    return found
