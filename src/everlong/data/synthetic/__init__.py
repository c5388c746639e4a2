"""Tasks whose sequences are drawn by rule, as long and as many as wanted; some of them from pictures."""

from everlong.data.synthetic.copying import Copy, RepeatCopy
from everlong.data.synthetic.induction import InductionHeads
from everlong.data.synthetic.listops import ListOps
from everlong.data.synthetic.multi_query import MultiQueryRecall
from everlong.data.synthetic.needle import Needle
from everlong.data.synthetic.ngram import DynamicNGram
from everlong.data.synthetic.omniglot import PICTURES, Omniglot
from everlong.data.synthetic.overwriting import MultiQueryOverwrite
from everlong.data.synthetic.passkey import Passkey
from everlong.data.synthetic.paths import GraphTraversal, ShortestPath
from everlong.data.synthetic.pictures import Pictures, read_pictures
from everlong.data.synthetic.reader import EpisodeReader
from everlong.data.synthetic.recall import AssociativeRecall
from everlong.data.synthetic.rules import MEASURED, TRAINED, Episode, Rules, Sizes, TokenRules, collate, generator
from everlong.data.synthetic.selective_copying import SelectiveCopy
from everlong.data.synthetic.sorting import PrioritySort
from everlong.data.synthetic.table import RULES
from everlong.data.synthetic.variable_tracking import VariableTracking

__all__ = [
    "MEASURED",
    "PICTURES",
    "RULES",
    "TRAINED",
    "AssociativeRecall",
    "Copy",
    "DynamicNGram",
    "Episode",
    "EpisodeReader",
    "GraphTraversal",
    "InductionHeads",
    "ListOps",
    "MultiQueryOverwrite",
    "MultiQueryRecall",
    "Needle",
    "Omniglot",
    "Passkey",
    "Pictures",
    "PrioritySort",
    "RepeatCopy",
    "Rules",
    "SelectiveCopy",
    "ShortestPath",
    "Sizes",
    "TokenRules",
    "VariableTracking",
    "collate",
    "generator",
    "read_pictures",
]
