"""The tokenizer of a pre-trained encoder out of its Hugging Face folder."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from everlong.data import PretrainedTokenizer
from everlong.errors import DamagedFile, DataError
from everlong.storage import read_bytes

WHOLE, WORDS, ABOUT = "tokenizer.json", "vocab.txt", "tokenizer_config.json"


def read_vocabulary(folder: Path) -> PretrainedTokenizer:
    """The tokenizer that ``tokenizer.json`` describes; where there is none, WordPiece over ``vocab.txt``.

    Raises:
        DataError: the folder has neither, or a tokenizer of another kind.
        DamagedFile: a file is damaged, or its ids have gaps.
    """
    if (folder / WHOLE).is_file():
        path, make = folder / WHOLE, tokenizers.Tokenizer.from_buffer
    elif (folder / WORDS).is_file():
        path, make = folder / WORDS, partial(_word_pieces, about=_about(folder / ABOUT))
    else:
        raise DataError(
            f"{folder} has neither {WHOLE} nor {WORDS}, so nobody could read a text with this model. "
            "Add the one that belongs to it."
        )
    data = read_bytes(path)
    try:
        library = make(data)
        rules: dict[str, Any] = json.loads(library.to_str())
    except Exception as error:  # the library raises Exception itself
        raise DamagedFile(f"{path} describes no tokenizer ({error}). Use another copy of it.") from error
    ids = library.get_vocab(with_added_tokens=True)
    tokens = sorted(ids, key=ids.__getitem__)
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise DamagedFile(
            f"{path} has {len(tokens)} tokens whose ids are not 0 to {len(tokens) - 1}. Use another copy."
        )
    return PretrainedTokenizer(rules, tokens)


def _word_pieces(data: bytes, *, about: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """BERT's rules with the words of ``vocab.txt``, one a line in the order of ids."""
    words = data.decode().removesuffix("\n").split("\n")
    made = tokenizers.Tokenizer(
        models.WordPiece({word.rstrip("\r"): i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    made.normalizer = normalizers.BertNormalizer(
        lowercase=about.get("do_lower_case", True),
        strip_accents=about.get("strip_accents"),
        handle_chinese_chars=about.get("tokenize_chinese_chars", True),
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def _about(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return cast("dict[str, Any]", dict(json.loads(read_bytes(path))))
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedFile(f"{path} cannot be read as an object of JSON ({error}). Use another copy of it.") from error
