"""Tasks whose sequences are drawn by rule, as long and as many as wanted."""

from everlong.data.synthetic.copying import Copy, RepeatCopy
from everlong.data.synthetic.ngram import DynamicNGram
from everlong.data.synthetic.reader import EpisodeReader
from everlong.data.synthetic.recall import AssociativeRecall
from everlong.data.synthetic.rules import MEASURED, TRAINED, Episode, Rules, Sizes, collate, generator
from everlong.data.synthetic.sorting import PrioritySort
from everlong.data.synthetic.table import RULES

__all__ = [
    "MEASURED",
    "RULES",
    "TRAINED",
    "AssociativeRecall",
    "Copy",
    "DynamicNGram",
    "Episode",
    "EpisodeReader",
    "PrioritySort",
    "RepeatCopy",
    "Rules",
    "Sizes",
    "collate",
    "generator",
]
