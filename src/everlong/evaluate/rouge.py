"""How much summaries have in common with those of people: ROUGE, as the rouge-score library counts it."""

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, final

from everlong.data.sections import sections
from everlong.data.tokenizers import Tokenizer
from everlong.evaluate.overlap import HAN, mostly_chinese

KINDS = ("rouge1", "rouge2", "rougeL")


@final
@dataclass(frozen=True, kw_only=True)
class Rouge:
    """F1 of words, of pairs of words, and of the longest common subsequence: means over all texts, from 0 to 100."""

    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815 - the measure's name
    signature: str
    """What counted as a word, and which version of the library counted."""


@final
class Characters:
    """Cuts text into Chinese characters, and what else there is into words."""

    pattern = re.compile(rf"{HAN.pattern}|[a-z0-9]+")

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text; marks are none."""
        return self.pattern.findall(text.lower())


def rouge(found: Sequence[str], references: Sequence[str]) -> Rouge | None:
    """ROUGE-1, 2 and L (Lin, 2004); ``None`` where rouge-score is not installed.

    Texts that are mostly Chinese are cut into characters, others into words, which are stemmed (Porter).
    """
    try:
        scorer: Any = importlib.import_module("rouge_score.rouge_scorer")
    except ImportError:
        return None
    chinese = mostly_chinese(references)
    score = scorer.RougeScorer(KINDS, use_stemmer=not chinese, tokenizer=Characters() if chinese else None).score
    scores = [score(reference, text) for text, reference in zip(found, references, strict=True)]
    means = {kind: 100 * sum(one[kind].fmeasure for one in scores) / len(scores) for kind in KINDS}
    unit = "characters" if chinese else "stemmed words"
    return Rouge(**means, signature=f"F1 of {unit}, rouge-score {version('rouge-score')}")


def lead(document: str, tokenizer: Tokenizer, *, length: float) -> str:
    """The first sentences of a document, one at least, as long as they are of no more tokens than `length`."""
    taken, n_tokens = "", 0
    for sentence in sections(document, "sentence"):
        n_tokens += len(tokenizer.encode(sentence))
        if taken and n_tokens > length:
            break
        taken += sentence
    return " ".join(taken.split())
