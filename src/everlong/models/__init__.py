"""Every architecture: ``logits, memory = model(tokens, memory)``, or ``hidden = encoder(tokens)``.

Those of kind ``seq2seq`` begin their memory with a source: ``memory = model.read(source)``.
"""

from everlong.models import (
    bert,
    compressive_transformer,
    dnc,
    encoder_decoder,
    gru,
    han,
    hierarchical_encoder,
    hierarchical_encoder_decoder,
    hierarchical_transformer,
    longformer,
    longformer_encoder,
    longformer_encoder_decoder,
    lstm,
    mann,
    ntm,
    recurrent_encoder_decoder,
    reformer,
    reformer_encoder,
    sparse_transformer,
    transformer,
    transformer_xl,
)
from everlong.models.base import LanguageModel, ModelConfig
from everlong.models.encoder import Encoder
from everlong.models.registry import create_model, describe_model, list_models
from everlong.models.seq2seq import Seq2Seq, SourceMemory

__all__ = [
    "Encoder",
    "LanguageModel",
    "ModelConfig",
    "Seq2Seq",
    "SourceMemory",
    "bert",
    "compressive_transformer",
    "create_model",
    "describe_model",
    "dnc",
    "encoder_decoder",
    "gru",
    "han",
    "hierarchical_encoder",
    "hierarchical_encoder_decoder",
    "hierarchical_transformer",
    "list_models",
    "longformer",
    "longformer_encoder",
    "longformer_encoder_decoder",
    "lstm",
    "mann",
    "ntm",
    "recurrent_encoder_decoder",
    "reformer",
    "reformer_encoder",
    "sparse_transformer",
    "transformer",
    "transformer_xl",
]
