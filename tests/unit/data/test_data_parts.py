"""Parts of a document in tokens: a token is where its first byte is."""

import numpy as np
import pytest

from everlong.data import BPETokenizer, ByteTokenizer, Tokenizer
from everlong.data.dialogues import session_parts, turn_parts
from everlong.data.parts import Parts, token_parts

TEXT = "Anna: 船在哪里？\nBob: At sea.\n\nAnna: Why?\n"


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), BPETokenizer.train([TEXT] * 3, vocab_size=300)])
def test_parts_join_to_the_document_and_what_is_predicted_is_what_was_said(tokenizer: Tokenizer) -> None:
    ids = np.array(tokenizer.encode(TEXT), np.uint16)
    parts = token_parts(ids, tokenizer, turn_parts)
    assert [tokenizer.decode(parts.tokens[parts.part(index)]) for index in range(3)] == [
        "Anna: 船在哪里？\n", "Bob: At sea.\n\n", "Anna: Why?\n"
    ]  # fmt: skip
    assert len(parts) == 3
    assert parts.part(3) == slice(0, 0)
    said = tokenizer.decode(parts.tokens[parts.counted])
    # The token of the line feed may be that of the empty line, too.
    assert said.replace("\n\n", "\n") == " 船在哪里？\n At sea.\n Why?\n"
    assert (token_parts(ids, tokenizer, session_parts).counted == parts.counted).all()


def test_the_first_token_of_a_part_is_given() -> None:
    ids = np.array(list(b"abcdef"), np.uint8)
    parts = token_parts(ids, ByteTokenizer(), lambda text: Parts([0, 2], [(0, len(text))]))
    assert parts.counted.tolist() == [False, True, False, True, True, True]


def test_a_document_may_end_inside_a_character() -> None:
    ids = np.array(list("Anna: 船".encode()[:-1]), np.uint8)
    parts = token_parts(ids, ByteTokenizer(), turn_parts)
    assert (parts.edges.tolist(), int(parts.counted.sum())) == ([0, 8], 3)
