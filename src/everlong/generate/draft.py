"""Tokens just written, while a stop string may still take them back."""

from collections.abc import Sequence
from typing import final

from everlong.data.tokenizers import Tokenizer
from everlong.generate.outlook import Outlook, read
from everlong.generate.text import UNFINISHED, StopStrings, text_stream
from everlong.models.base import AnyLanguageModel


@final
class Draft:
    """The end of a one-lane text that is being written, and outlooks to go back to.

    What a session remembers must be what it has shown, to the character. When a stop string is met, or the reader of a
    stream goes away, some tokens were written that are not shown. No memory can be run backwards, but an outlook is a
    value: those after the last few tokens are kept, and what is shown beyond one of them is read again from the text.

    Args:
        tokenizer: the model's.
        outlook: where the text stands.
        stop: strings that end the text where they begin.
    """

    def __init__(self, tokenizer: Tokenizer, outlook: Outlook, stop: str | Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stream = text_stream(tokenizer, outlook.recent[0])
        self._stops = StopStrings(stop)
        self._places = [(0, outlook)]
        self._text = ""
        self._shown = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met."""
        return self._stops.met

    @property
    def outlook(self) -> Outlook:
        """The outlook after the last token."""
        return self._places[-1][1]

    def add(self, token: int, outlook: Outlook) -> str:
        """Take a token and the outlook after it; the text that can be shown now."""
        text = self._stream.push(token)
        shown = self._stops.push(text)
        self._text += text
        self._shown += len(shown)
        self._places.append((len(self._text), outlook))
        self._forget()
        return shown

    def release(self) -> str:
        """The text that was held back, when no more tokens will come."""
        held = self._stops.release()
        self._shown += len(held)
        return held

    def settle(self, model: AnyLanguageModel) -> Outlook:
        """The outlook after exactly the text that was shown.

        When everything was shown, it is the last one, which may know the first bytes of a character as well: they will
        show when the character is whole.
        """
        if self._shown == len(self._text):
            return self.outlook
        end, outlook = self._places[0]
        rest = self._tokenizer.encode(self._text[end : self._shown])
        return read(model, [rest], outlook.memory, recent=outlook.recent) if rest else outlook

    def _forget(self) -> None:
        """Make the first place the last one that is whole and not beyond what was shown: `settle` goes back to it."""
        behind = [n for n, (end, _) in enumerate(self._places) if end <= self._shown]
        first = next((n for n in reversed(behind) if self._is_whole(n)), max(0, behind[-1] - UNFINISHED))
        begin = self._places[first][0]
        self._places = [(end - begin, outlook) for end, outlook in self._places[first:]]
        self._text = self._text[begin:]
        self._shown -= begin

    def _is_whole(self, place: int) -> bool:
        """Whether no character is unfinished there."""
        return text_stream(self._tokenizer, self._places[place][1].recent[0]).flush() == ""
