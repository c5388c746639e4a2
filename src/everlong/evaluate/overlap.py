"""How much translations have in common with those of people: BLEU and chrF, as sacrebleu counts them."""

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

HAN = re.compile(r"[\u3400-\u9fff]")


@final
@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Two figures from 0 to 100, and what another program needs to count them the same way."""

    bleu: float
    chrf: float
    signature: str
    """How BLEU was counted."""


def overlap(found: Sequence[str], references: Sequence[str]) -> Overlap | None:
    """BLEU (Papineni et al., 2002) and chrF (Popovic, 2015) over all texts; ``None`` where sacrebleu is not installed.

    Texts that are mostly Chinese are cut into characters (sacrebleu's ``zh``), others as usual (``13a``).
    """
    try:
        sacrebleu: Any = importlib.import_module("sacrebleu")
    except ImportError:
        return None
    bleu = sacrebleu.metrics.BLEU(tokenize="zh" if mostly_chinese(references) else "13a")
    score = bleu.corpus_score(list(found), [list(references)]).score
    chrf = sacrebleu.metrics.CHRF().corpus_score(list(found), [list(references)]).score
    return Overlap(bleu=score, chrf=chrf, signature=str(bleu.get_signature()))


def mostly_chinese(texts: Sequence[str]) -> bool:
    """Whether more than half of the characters are Chinese, white space left out."""
    letters = sum(not character.isspace() for text in texts for character in text)
    return 2 * sum(len(HAN.findall(text)) for text in texts) > letters
