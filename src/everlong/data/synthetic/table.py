"""The generated tasks by their names."""

from everlong.data.synthetic.copying import Copy, RepeatCopy
from everlong.data.synthetic.induction import InductionHeads
from everlong.data.synthetic.listops import ListOps
from everlong.data.synthetic.multi_query import MultiQueryRecall
from everlong.data.synthetic.needle import Needle
from everlong.data.synthetic.ngram import DynamicNGram
from everlong.data.synthetic.omniglot import Omniglot
from everlong.data.synthetic.overwriting import MultiQueryOverwrite
from everlong.data.synthetic.passkey import Passkey
from everlong.data.synthetic.paths import GraphTraversal, ShortestPath
from everlong.data.synthetic.recall import AssociativeRecall
from everlong.data.synthetic.rules import Rules
from everlong.data.synthetic.selective_copying import SelectiveCopy
from everlong.data.synthetic.sorting import PrioritySort
from everlong.data.synthetic.variable_tracking import VariableTracking

RULES: dict[str, type[Rules]] = {
    rules.name: rules
    for rules in (
        Copy,
        RepeatCopy,
        AssociativeRecall,
        PrioritySort,
        DynamicNGram,
        GraphTraversal,
        ShortestPath,
        Omniglot,
        MultiQueryRecall,
        MultiQueryOverwrite,
        SelectiveCopy,
        InductionHeads,
        Passkey,
        Needle,
        VariableTracking,
        ListOps,
    )
}
"""Names are those of `--task`."""
