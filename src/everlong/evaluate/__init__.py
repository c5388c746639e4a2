"""How well a model predicts, and how much of that it owes to its memory; how well an encoder guesses what is hidden."""

from everlong.evaluate.bits import Bits
from everlong.evaluate.evaluation import DocumentBits, Evaluation, PositionBits
from everlong.evaluate.hidden import HiddenEvaluation, evaluate_hidden, require_hidden
from everlong.evaluate.reader import evaluate

__all__ = [
    "Bits",
    "DocumentBits",
    "Evaluation",
    "HiddenEvaluation",
    "PositionBits",
    "evaluate",
    "evaluate_hidden",
    "require_hidden",
]
