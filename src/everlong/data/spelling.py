"""Between a text and its words: where words stand in a text, and what words are in tokens.

Files of tagged words do not say what stood between them. Here it is a space, and nothing beside a Chinese character.
Where all words of the files are single characters, as in most Chinese ones, it is nothing, and new texts are read
character by character too.

Each word is made into tokens by itself, with the space before it, so that every word has tokens of its own: byte pairs
of a whole Chinese text would span several words, which may have several tags.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import final

from everlong.data.pretrained import PretrainedTokenizer
from everlong.data.tokenizers import Tokenizer

CHINESE = "\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
"""Chinese and Japanese characters and the marks that go with them, as the inside of a set of a pattern."""
BESIDE = re.compile(rf"[{CHINESE}]")
WORD = re.compile(
    rf"[{CHINESE}]"  # one Chinese character or mark
    rf"|[^\W{CHINESE}]+(?:[-'’.,&][^\W{CHINESE}]+)*"  # letters and digits, with single marks among them: 1,000 U.N
    r"|\S"
)
CHARACTER = re.compile(r"\S")


def find_words(text: str, *, by_character: bool) -> Iterator[re.Match[str]]:
    """Where the words of a text stand; or its characters, white space left out.

    >>> [found.group() for found in find_words("Mr. O'Neill, 他来了", by_character=False)]
    ['Mr', '.', "O'Neill", ',', '他', '来', '了']
    """
    return (CHARACTER if by_character else WORD).finditer(text)


@final
class Spelling:
    """What makes words into tokens."""

    def __init__(self, tokenizer: Tokenizer, *, by_character: bool) -> None:
        self.tokenizer, self.by_character = tokenizer, by_character
        self._spelled = lru_cache(1 << 16)(self._spell)

    def pieces(self, words: Iterable[str]) -> Iterator[str]:
        """Each word with the space before it, where there is one; joined, they are the text."""
        before = ""
        for word in words:
            apart = before and not self.by_character and not BESIDE.match(before) and not BESIDE.match(word)
            yield f" {word}" if apart else word
            before = word[-1]

    def tokens(self, words: Iterable[str]) -> tuple[list[int], list[int]]:
        """The tokens of all words, and where among them each word's first one is, its space left out.

        Raises:
            DataError: a word has a lone surrogate, which no UTF-8 stands for.
        """
        tokens: list[int] = []
        firsts: list[int] = []
        for piece in self.pieces(words):
            of_word, first = self._spelled(piece)
            firsts.append(len(tokens) + first)
            tokens += of_word
        return tokens, firsts

    @property
    def symbols(self) -> tuple[list[int], list[int]]:
        """What stands before and after every text that is read, because a pre-trained encoder saw them there."""
        if not isinstance(self.tokenizer, PretrainedTokenizer):
            return [], []
        first, last = self.tokenizer.framed([])
        return [first], [last]

    def _spell(self, piece: str) -> tuple[tuple[int, ...], int]:
        # BERT's rules leave nothing of a soft hyphen, say, and yet the word has a tag.
        tokens = self.tokenizer.encode(piece) or self.tokenizer.encode("?")
        return tuple(tokens), int(self.tokenizer.token_bytes[tokens[0]] == b" ")
