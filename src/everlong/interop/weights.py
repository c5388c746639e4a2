"""Where each weight of a pre-trained encoder goes.

    embedding_v       = word_v                     and one symbol more, that hides tokens: word_[MASK]
    places_k          = position_k + type_0        lengthened: places_k = places_{k - n}, n the old length
    project           = query, key, value          one below the other
    project_global    = project                    where there are global tokens

All else has another name and is the same. Every text is of type 0, that of the first of two sentences: sentences are
told apart no more (Liu et al., 2019). The guess whether one sentence follows another, and what was built on it, is left
out.
"""

import torch
from torch import Tensor

from everlong.errors import ConfigError
from everlong.interop.short_encoder import ShortEncoder
from everlong.models import Encoder

WORDS = "embeddings.word_embeddings"
OTHERS = ("embeddings.position_embeddings", "embeddings.token_type_embeddings", "embeddings.position_ids")

HEADS = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head"),
}
"""Of the head for hidden tokens: the map, the norm, and what its bias belongs to."""

LAYER = {
    "attention_norm": ("attention.output.LayerNorm",),
    "out": ("attention.output.dense",),
    "ff.up": ("intermediate.dense",),
    "ff.down": ("output.dense",),
    "ff_norm": ("output.LayerNorm",),
    "project": ("attention.self.query", "attention.self.key", "attention.self.value"),
}
"""Parts of a layer of ours, and of theirs."""


def converted_weights(short: ShortEncoder, model: Encoder, *, mask: int) -> dict[str, Tensor]:
    """The state dict of a model whose sizes are those of the pre-trained one.

    Args:
        short: gives the weights.
        model: gives shapes, and the head where the pre-trained one has none.
        mask: the symbol that stands for a hidden token.

    Raises:
        DamagedFile: a weight is missing or has another shape.
        ConfigError: the head answers by a table of its own.
    """
    template = model.state_dict()
    state = {name: x for name, x in template.items() if name.startswith("head.")}
    for ours, theirs in _parts(short, global_too=model.has_global_tokens).items():
        for kind in ("weight", "bias"):
            rows, *width = template[f"{ours}.{kind}"].shape
            taken = [short.take(f"{name}.{kind}", rows // len(theirs), *width) for name in theirs]
            state[f"{ours}.{kind}"] = torch.cat(taken)
    c = short.config
    words = short.take(f"{WORDS}.weight", c.vocab_size, c.hidden_size)
    places, types = (
        short.take(f"{name}.weight", rows, c.hidden_size)
        for name, rows in zip(OTHERS, (c.max_position_embeddings, c.type_vocab_size), strict=False)
    )
    places = places[c.unmet_positions :] + types[0]
    state["embedding.weight"] = state["head.weight"] = torch.cat([words, words[mask, None]])
    state["places.weight"] = places[torch.arange(len(template["places.weight"])) % len(places)]
    if has_head(short):
        home = HEADS[c.model_type][2]
        table = short.tensors.get(f"{home}.decoder.weight", words)
        if not torch.equal(table.float(), words):
            raise ConfigError(
                f"{short.folder} guesses hidden tokens by a table that is not the one it reads by, and ours has one "
                "for both. Choose a model whose tables are tied."
            )
        bias = f"{home}.bias" if f"{home}.bias" in short.tensors else f"{home}.decoder.bias"
        state["head.bias"] = short.take(bias, c.vocab_size)
    return state


def has_head(short: ShortEncoder) -> bool:
    """Whether it can guess hidden tokens."""
    return f"{HEADS[short.config.model_type][0]}.weight" in short.tensors


def left_out(short: ShortEncoder) -> tuple[str, ...]:
    """Its parts that have no place in a model of ours."""
    used = {name for names in _parts(short, global_too=False).values() for name in names} | {WORDS, *OTHERS}
    head = HEADS[short.config.model_type][2]
    there = {name.removesuffix(".weight").removesuffix(".bias") for name in short.tensors}
    return tuple(sorted(there - used - {head, f"{head}.decoder"}))


def _parts(short: ShortEncoder, *, global_too: bool) -> dict[str, tuple[str, ...]]:
    """Modules of ours, and those of theirs whose weights and biases they take."""
    parts: dict[str, tuple[str, ...]] = {"norm": ("embeddings.LayerNorm",)}
    layer = LAYER | ({"project_global": LAYER["project"]} if global_too else {})
    for n in range(short.config.num_hidden_layers):
        parts |= {f"layers.{n}.{ours}": tuple(f"encoder.layer.{n}.{name}" for name in layer[ours]) for ours in layer}
    if has_head(short):
        transform, norm, _ = HEADS[short.config.model_type]
        parts |= {"head.transform": (transform,), "head.norm": (norm,)}
    return parts
