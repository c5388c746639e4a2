"""Every architecture: ``logits, memory = model(tokens, memory)``, or ``hidden = encoder(tokens)``."""

from everlong.models import (
    bert,
    compressive_transformer,
    dnc,
    gru,
    han,
    hierarchical_encoder,
    hierarchical_transformer,
    longformer,
    longformer_encoder,
    lstm,
    mann,
    ntm,
    reformer,
    reformer_encoder,
    sparse_transformer,
    transformer,
    transformer_xl,
)
from everlong.models.base import LanguageModel, ModelConfig
from everlong.models.encoder import Encoder
from everlong.models.registry import create_model, describe_model, list_models

__all__ = [
    "Encoder",
    "LanguageModel",
    "ModelConfig",
    "bert",
    "compressive_transformer",
    "create_model",
    "describe_model",
    "dnc",
    "gru",
    "han",
    "hierarchical_encoder",
    "hierarchical_transformer",
    "list_models",
    "longformer",
    "longformer_encoder",
    "lstm",
    "mann",
    "ntm",
    "reformer",
    "reformer_encoder",
    "sparse_transformer",
    "transformer",
    "transformer_xl",
]
