"""How well a model predicts and what it owes to its memory; how well hidden tokens and answers are guessed."""

from everlong.evaluate.bits import Bits
from everlong.evaluate.episodes import Trial, evaluate_episodes
from everlong.evaluate.evaluation import DocumentBits, Evaluation, PositionBits
from everlong.evaluate.hidden import HiddenEvaluation, evaluate_hidden, require_hidden
from everlong.evaluate.reader import evaluate

__all__ = [
    "Bits",
    "DocumentBits",
    "Evaluation",
    "HiddenEvaluation",
    "PositionBits",
    "Trial",
    "evaluate",
    "evaluate_episodes",
    "evaluate_hidden",
    "require_hidden",
]
