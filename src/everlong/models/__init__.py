"""Every architecture behind one contract: ``logits, memory = model(tokens, memory)``."""

from everlong.models import gru, lstm, transformer, transformer_xl
from everlong.models.base import LanguageModel, ModelConfig
from everlong.models.registry import create_model, describe_model, list_models

__all__ = [
    "LanguageModel",
    "ModelConfig",
    "create_model",
    "describe_model",
    "gru",
    "list_models",
    "lstm",
    "transformer",
    "transformer_xl",
]
