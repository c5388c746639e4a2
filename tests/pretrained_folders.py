"""Tiny Hugging Face folders of pre-trained encoders with random weights, for tests of conversion."""

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import models, normalizers, pre_tokenizers
from torch import Tensor

from everlong.data.bytelevel import byte_characters

LENGTH = 12
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "ship",
    "##s",
    "sail",
    "##ed",
    "at",
    "sea",
    ",",
    "海",
    "naive",
]
MERGES = [("s", "e"), ("se", "a"), ("Ġ", "sea")]
PAIRS = ["<s>", "<pad>", "</s>", "<unk>", *byte_characters(), "se", "sea", "Ġsea", "<mask>"]

COMMON: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {
        **COMMON, "model_type": "bert", "vocab_size": len(WORDS), "max_position_embeddings": LENGTH,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0, "hidden_act": "gelu",
    },
    "roberta": {
        **COMMON, "model_type": "roberta", "vocab_size": len(PAIRS), "max_position_embeddings": LENGTH + 2,
        "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1, "hidden_act": "gelu",
    },
}  # fmt: skip


def random_weights(config: dict[str, Any], *, head: bool = True, seed: int = 0) -> dict[str, Tensor]:
    """Every tensor of an encoder, without ``bert.`` or ``roberta.`` before its name."""
    rng = torch.Generator().manual_seed(seed)
    d, f = config["hidden_size"], config["intermediate_size"]
    maps = {"attention.self.query": (d, d), "attention.self.key": (d, d), "attention.self.value": (d, d)}
    maps |= {"attention.output.dense": (d, d), "intermediate.dense": (f, d), "output.dense": (d, f)}
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], d),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], d),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], d),
    }
    affine, norms = {"pooler.dense": (d, d)}, ["embeddings.LayerNorm"]
    for n in range(config["num_hidden_layers"]):
        affine |= {f"encoder.layer.{n}.{name}": shape for name, shape in maps.items()}
        norms += [f"encoder.layer.{n}.{name}.LayerNorm" for name in ("attention.output", "output")]
    if head and config["model_type"] == "bert":
        affine["cls.predictions.transform.dense"] = (d, d)
        affine["cls.seq_relationship"] = (2, d)
        norms.append("cls.predictions.transform.LayerNorm")
        shapes["cls.predictions.bias"] = (config["vocab_size"],)
    elif head:
        affine["lm_head.dense"] = (d, d)
        norms.append("lm_head.layer_norm")
        shapes["lm_head.bias"] = (config["vocab_size"],)
    for name, shape in affine.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    weights = {name: torch.randn(shape, generator=rng) * 0.2 for name, shape in shapes.items()}
    for name in norms:
        weights[f"{name}.weight"] = 1 + torch.randn(d, generator=rng) * 0.2
        weights[f"{name}.bias"] = torch.randn(d, generator=rng) * 0.2
    return weights


def write_folder(
    folder: Path, kind: str, *, weights: dict[str, Tensor] | None = None, head: bool = True, **changes: Any
) -> Path:
    """A folder as the transformers library writes it; `changes` are of config.json, ``None`` for a field left out."""
    folder.mkdir(parents=True)
    config = {**CONFIGS[kind], **changes}
    config = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    weights = random_weights(CONFIGS[kind], head=head) if weights is None else weights
    outside = ("cls.", "lm_head.", "bert.", "roberta.")
    named = {name if name.startswith(outside) else f"{kind}.{name}": tensor for name, tensor in weights.items()}
    save_file(named, folder / "model.safetensors")
    (word_pieces() if kind == "bert" else byte_pairs()).save(str(folder / "tokenizer.json"))
    return folder


def word_pieces() -> tokenizers.Tokenizer:
    """BERT's, with the filling and cutting to a length that sentence encoders are published with."""
    made = tokenizers.Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(WORDS[:5])
    made.enable_padding(length=8)
    made.enable_truncation(max_length=8)
    return made


def byte_pairs() -> tokenizers.Tokenizer:
    """RoBERTa's."""
    made = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(PAIRS)}, MERGES))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens([*PAIRS[:4], PAIRS[-1]])
    return made
