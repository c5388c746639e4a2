"""Where sentences and paragraphs of a text end, in English, Chinese and what is written like either.

    sentence     ends with . ! ? … before white space, or with 。 ！ ？ at once (…… beside one of these included), and
                 with the quotes and brackets that close after them; and where a paragraph does
    paragraph    ends with a blank line

What stands between two of them, white space say, belongs to the one before: joined, they are the text.
"""

import re
from collections.abc import Iterator
from typing import Literal

SectionUnit = Literal["sentence", "paragraph"]

CLOSING = "\"'”’»)\\]}」』）】》"
ENDS: dict[SectionUnit, re.Pattern[str]] = {
    "paragraph": re.compile(r"\n[^\S\n]*\n\s*"),
    "sentence": re.compile(rf"[.!?…]+[{CLOSING}]*\s+|[。！？…]*[。！？][。！？…]*[{CLOSING}]*\s*|\n[^\S\n]*\n\s*"),
}


def sections(text: str, unit: SectionUnit) -> Iterator[str]:
    """The sentences, or paragraphs, of a text: none of an empty one.

    >>> list(sections("It was Mr. Poe. He said: “No!” 他来了。走吧！", "sentence"))
    ['It was Mr. ', 'Poe. ', 'He said: “No!” ', '他来了。', '走吧！']
    """
    begin = 0
    for end in ENDS[unit].finditer(text):
        if text[begin : end.end()].strip():
            yield text[begin : end.end()]
            begin = end.end()
    if begin < len(text):
        yield text[begin:]
