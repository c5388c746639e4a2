"""How well a model predicts, and how much of that it owes to its memory."""

from everlong.evaluate.bits import Bits
from everlong.evaluate.evaluation import DocumentBits, Evaluation, PositionBits
from everlong.evaluate.reader import evaluate

__all__ = ["Bits", "DocumentBits", "Evaluation", "PositionBits", "evaluate"]
