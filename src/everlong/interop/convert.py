"""A short pre-trained encoder made one of ours, as it is or lengthened as Longformer was (arXiv:2004.05150, section 5).

    converted = everlong.convert("folder/of/a/bert", to="longformer-encoder", max_length=4096)
    converted.save("runs/long")

Texts of up to n tokens, the old length, have the hidden states they had wherever each token sees all others: a window
of 2n, half of it to each side, shows the whole of them. The paper's window is n, at half the cost. To read longer texts
section by section, the short encoder goes into a `hierarchical-encoder`, with two new layers after it: D and S.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final, get_args

import torch

from everlong.checkpoint import save_checkpoint, untie
from everlong.data import PretrainedTokenizer
from everlong.errors import ConfigError, DamagedFile, did_you_mean
from everlong.interop.short_encoder import ShortEncoder, read_short_encoder
from everlong.interop.vocabulary import read_vocabulary
from everlong.interop.weights import converted_weights, has_head, left_out
from everlong.models import Encoder, create_model
from everlong.models.hierarchical_encoder import HierarchicalEncoder
from everlong.train import TrainConfig
from everlong.train.folder import CONVERTED_FROM, claimed, describe

Target = Literal["bert", "hierarchical-encoder", "longformer-encoder"]
LONG, HIERARCHICAL = "longformer-encoder", "hierarchical-encoder"
LENGTH = 4096
"""Tokens of the paper's long encoders."""
SECTION = 128
"""Tokens of a section where none are marked and the short encoder reads as many."""


@final
@dataclass(frozen=True, kw_only=True)
class Converted:
    """An encoder with the weights of a pre-trained one, and its tokenizer."""

    model: Encoder
    """In evaluation mode."""
    tokenizer: PretrainedTokenizer
    source: Path
    """The folder that it was made from."""
    new_head: bool
    """Whether the file had no head for hidden tokens, so that the model's is random and must learn."""
    left_out: tuple[str, ...]
    """Parts of the file that have no place in the model."""

    def save(self, out: Path | str) -> None:
        """Write a folder that `everlong.load` reads, as a run whose training has not begun.

        Raises:
            RunError: the folder holds something else, or the disk is full.
        """
        model = self.model
        config = TrainConfig(task="mlm", chunk=getattr(model.config, "n_positions", LENGTH))
        with claimed(Path(out), resume=False) as folder:
            describe(folder, model, self.tokenizer, config, {CONVERTED_FROM: self.source.name})
            weights = untie(model, model.state_dict())
            save_checkpoint(folder, tensors={"model": weights}, state={"step": 0, "best_step": None}, keep=1)


def convert(
    folder: Path | str, *, to: Target = "bert", max_length: int | None = None, window: int | None = None
) -> Converted:
    """The pre-trained encoder in a Hugging Face folder (``model_type`` bert or roberta, in safetensors) as one of ours.

    Args:
        folder: with ``config.json``, ``model.safetensors``, and ``tokenizer.json`` or ``vocab.txt``.
        to: ``bert``; for long texts ``longformer-encoder``, or ``hierarchical-encoder``, which has a ``bert`` inside.
        max_length: positions of a ``longformer-encoder``; 4096, or what it reads already, unless given.
        window: width of its window; unless given, so wide that texts of the old length are seen whole.

    Raises:
        DataError: there is no folder, no weights or no tokenizer that can be read.
        ConfigError: the model is of another kind, or a size does not fit.
        DamagedFile: a file is truncated, or lacks what the model needs.
    """
    if to not in get_args(Target):
        raise ConfigError(
            f"to={to!r} is nothing that can be converted to.{did_you_mean(to, get_args(Target))} "
            f"Give one of {', '.join(get_args(Target))}."
        )
    if to != LONG and (max_length is not None or window is not None):
        raise ConfigError(
            f"max_length and window are for a {LONG}, and to={to!r}. Leave them out, or give to='{LONG}'."
        )
    source = Path(folder)
    short, tokenizer = read_short_encoder(source), read_vocabulary(source)
    if tokenizer.vocab_size > short.config.vocab_size:
        raise DamagedFile(
            f"{source} has {tokenizer.vocab_size} tokens and vectors for {short.config.vocab_size} of them. "
            "Use the files of one model."
        )
    fields: dict[str, Any] = {"n_positions": short.positions}
    if to == LONG:
        fields = {
            "n_positions": max(LENGTH, short.positions) if max_length is None else max_length,
            "window": 2 * short.positions if window is None else window,
        }
    if fields["n_positions"] < short.positions:
        raise ConfigError(
            f"max_length={max_length} is shorter than the {short.positions} tokens that {source} reads already. "
            f"Give more, or to='bert'."
        )
    # A head that the file lacks is drawn, the same each time; the caller's generator is left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Encoder = create_model(LONG if to == LONG else "bert", **_sizes(short), **fields)
        model.load_state_dict(converted_weights(short, model, mask=tokenizer.mask))
        if to == HIERARCHICAL:
            heads, width = short.config.num_attention_heads, short.config.intermediate_size
            section = min(SECTION, short.positions)
            model = HierarchicalEncoder.around(model, n_layers=2, n_heads=heads, d_ff=width, segment=section)
    return Converted(
        model=model.eval(),
        tokenizer=tokenizer,
        source=source,
        new_head=not has_head(short),
        left_out=left_out(short),
    )


def _sizes(short: ShortEncoder) -> dict[str, Any]:
    c = short.config
    return {
        "vocab_size": c.vocab_size,
        "d_model": c.hidden_size,
        "n_layers": c.num_hidden_layers,
        "n_heads": c.num_attention_heads,
        "d_ff": c.intermediate_size,
        "dropout": c.hidden_dropout_prob,
        "norm": "post",
        "norm_eps": c.layer_norm_eps,
        "positions": "learned",
    }
