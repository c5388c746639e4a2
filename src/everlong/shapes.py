"""One letter, one meaning, everywhere.

    b  lane (a row of the batch, one stream)     t  token in the chunk       s  slot of a memory, or key
    d  width of the model                        h  head                     e  width of a head
    l  layer                                     v  vocabulary
    w  number of a slot                          i  number of an input vector
    o  number of an answer                       q  question asked at once (a bit, or one of some choices)

Annotations are checked while the tests run and cost nothing otherwise.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Tokens = Int[Tensor, "b t"]
Vectors = Float[Tensor, "b t i"]
Answers = Float[Tensor, "b t o"]
Asked = Float[Tensor, "b t q"]
Starts = Bool[Tensor, "b t"]
Lengths = Int[Tensor, "b"]
Hidden = Float[Tensor, "b t d"]
Logits = Float[Tensor, "b t v"]
Losses = Float[Tensor, "b t"]

IGNORE = -100
"""A target with this value has no loss: the next token belongs to another document, or there is none."""
