"""A pre-trained encoder of BERT or RoBERTa kind as it lies in a Hugging Face folder.

    config.json          sizes, and which of the two it is
    model.safetensors    weights, under the names of the published checkpoints
    tokenizer.json       text to tokens; vocab.txt does for WordPiece

Both compute the same. They differ in the names of the masked-token head, and in their tables of positions: RoBERTa's
begins with rows that no token meets, one up to its padding symbol's id, and the first token has the row after those.
Files of the first BERT call gains and biases of norms gamma and beta. Nothing is ever unpickled.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, final

from pydantic import ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from everlong.config import Config
from everlong.errors import ConfigError, DamagedFile, DataError
from everlong.storage import read_bytes

CONFIG, WEIGHTS = "config.json", "model.safetensors"
KINDS = ("bert", "roberta")

SAVE_ANEW = "Load it with the transformers library and save_pretrained it into a new folder"


class ShortConfig(Config):
    """What ``config.json`` says of sizes; other fields do not change what an encoder computes."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore")

    model_type: Literal["bert", "roberta"]
    vocab_size: int = Field(ge=1)
    hidden_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    max_position_embeddings: int = Field(ge=1)
    type_vocab_size: int = Field(default=2, ge=1)
    layer_norm_eps: float = Field(default=1e-12, gt=0.0)
    hidden_dropout_prob: float = Field(default=0.1, ge=0.0, lt=1.0)
    pad_token_id: int | None = Field(default=None, ge=0)
    """1 for a RoBERTa that does not say; BERT does not need it."""
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False

    @property
    def unmet_positions(self) -> int:
        """Rows of the table of positions that no token of a text meets."""
        padding = 1 if self.pad_token_id is None else self.pad_token_id
        return padding + 1 if self.model_type == "roberta" else 0


@final
@dataclass(frozen=True, kw_only=True)
class ShortEncoder:
    """Sizes and weights, named as in BERT's checkpoints without ``bert.`` or ``roberta.`` before them."""

    folder: Path
    config: ShortConfig
    tensors: Mapping[str, Tensor]

    def take(self, name: str, *shape: int) -> Tensor:
        """A weight in float32.

        Raises:
            DamagedFile: it is missing or has another shape.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise DamagedFile(
                f"{self.folder / WEIGHTS} has no tensor {name}, which a {self.config.model_type} needs. "
                "Use another copy of it."
            )
        if tuple(tensor.shape) != shape:
            raise DamagedFile(
                f"{self.folder / WEIGHTS} has {name} of shape {tuple(tensor.shape)}, and {CONFIG} says {shape}. "
                "Use the files of one model."
            )
        return tensor.float()

    @property
    def positions(self) -> int:
        """Tokens of the longest text that it reads."""
        return self.config.max_position_embeddings - self.config.unmet_positions


def read_short_encoder(folder: Path) -> ShortEncoder:
    """Sizes and weights out of a folder.

    Raises:
        DataError: there is no such folder, or no ``model.safetensors`` in it.
        ConfigError: it holds a model of another kind, or one that ours cannot express.
        DamagedFile: a file is missing, truncated or not what it should be.
    """
    if not folder.is_dir():
        raise DataError(
            f"there is no folder {folder}. Give one with config.json, model.safetensors and tokenizer.json."
        )
    path = folder / CONFIG
    data = read_bytes(path)
    try:
        fields: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is no JSON ({error}). Use another copy of it.") from error
    if not isinstance(fields, dict):
        raise DamagedFile(f"{path} is JSON, but no object of it. Use another copy of it.")
    config = _config(path, cast("dict[str, Any]", fields))
    return ShortEncoder(folder=folder, config=config, tensors=_tensors(folder))


def _config(path: Path, fields: dict[str, Any]) -> ShortConfig:
    kind = fields.get("model_type")
    if kind not in KINDS:
        raise ConfigError(
            f"{path} says model_type={kind!r}; what can be converted is {' or '.join(KINDS)}. Choose a model of those."
        )
    try:
        return ShortConfig.parse(fields)
    except ConfigError as error:
        raise ConfigError(f"{path} describes an encoder that cannot be converted: {error}") from error


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        others = sorted(other.name for pattern in ("*.bin", "*.pt", "*.index.json") for other in folder.glob(pattern))
        what = f"only {others[0]}, and Everlong reads neither pickles nor parts" if others else "no weights"
        raise DataError(f"{folder} has no {WEIGHTS}: it holds {what}. {SAVE_ANEW}.")
    try:
        tensors = load(read_bytes(path))
    except (SafetensorError, ValueError) as error:
        raise DamagedFile(f"{path} is cut short, or no file of tensors ({error}). Use another copy of it.") from error
    return {_plain_name(name): tensor for name, tensor in tensors.items()}


def _plain_name(name: str) -> str:
    for kind in KINDS:
        name = name.removeprefix(f"{kind}.")
    for old, new in {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}.items():
        name = name.replace(old, new)
    return name
