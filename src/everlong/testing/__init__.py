"""Check that a model keeps the memory contract: one call, ten laws.

    from everlong.testing import verify_contract

    verify_contract(my_model)

Any `nn.Module` will do that has ``init_memory(lanes)`` and answers ``logits, memory = model(tokens, memory)`` with an
`everlong.Memory`. The laws, what each means and how each is checked stand in `everlong.testing.laws`. Bidirectional
encoders have laws of their own, in `everlong.testing.encoders`, and `verify_encoder` hears them. An encoder-decoder (a
`everlong.models.Seq2Seq`) is heard by `verify_contract` with sources before it, and on `SOURCE_LAWS` besides.
"""

from everlong.testing.encoders import ENCODER_LAWS, verify_encoder
from everlong.testing.laws import LAWS, SOURCE_LAWS, Law, broken_laws, verify_contract
from everlong.testing.subject import Subject

__all__ = ["ENCODER_LAWS", "LAWS", "SOURCE_LAWS", "Law", "Subject", "broken_laws", "verify_contract", "verify_encoder"]
