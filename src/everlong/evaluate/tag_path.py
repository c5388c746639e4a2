"""The likeliest tags of a text's words among those that fit together: every I-T stands after a B-T or an I-T.

    best_t(O), best_t(B-T) = score_t + max over all tags of best_{t-1}
    best_t(I-T)            = score_t + max over B-T, I-T of best_{t-1}            none at the first word

Viterbi's algorithm (1967) with no score for a transition but that it is allowed.
"""

import numpy as np
from numpy.typing import NDArray


def likeliest_tags(scores: NDArray[np.float64]) -> list[int]:
    """The tags, in numbers as in everlong.data.tags, whose scores have the largest sum.

    Args:
        scores: ``[n c]``, log-probabilities of each word's tags, up to a constant for each word.
    """
    n_words, n_tags = scores.shape
    begins, inside = np.arange(1, n_tags, 2), np.arange(2, n_tags, 2)
    best = scores[0].copy()
    best[inside] = -np.inf
    came_from = np.zeros((n_words, n_tags), np.int64)
    for n in range(1, n_words):
        came_from[n] = best.argmax()
        came_from[n, inside] = np.where(best[inside] > best[begins], inside, begins)
        best = scores[n] + best[came_from[n]]
    tags = [int(best.argmax())]
    for n in range(n_words - 1, 0, -1):
        tags.append(int(came_from[n, tags[-1]]))
    return tags[::-1]
