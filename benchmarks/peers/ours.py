"""Everlong's own models, used exactly as its training loop and its generator use them.

What a case calls a size and what a config calls it meet here and nowhere else.
"""

from typing import Any

import torch
from torch import Tensor

from everlong.generate import beam_search
from everlong.models import create_model
from everlong.models.base import AnyLanguageModel
from everlong.models.classifier import Classifier

from ..case import Case
from ..contestant import Contestant, Encoder
from ..texts import N_CLASSES, Teller, Writer


def transformer_xl(case: Case) -> Contestant:
    """Transformer-XL on the case's segments: the chunk where chunks are read, one token where tokens are decoded."""
    sizes = _attention_sizes(case)
    return _contest(case, "transformer-xl", norm="post", mem_len=case.mem_len, segment=case.segment, **sizes)


def transformer(case: Case) -> Contestant:
    """The dense baseline, its context as long as the others' memory."""
    return _contest(case, "transformer", context=case.mem_len, **_attention_sizes(case))


def lstm(case: Case) -> Contestant:
    """The long short-term memory."""
    return _contest(case, "lstm", **_recurrent_sizes(case))


def gru(case: Case) -> Contestant:
    """The gated recurrent unit."""
    return _contest(case, "gru", **_recurrent_sizes(case))


def compressive(case: Case) -> Contestant:
    """The Compressive Transformer as its paper found it best: convolution, trained to reconstruct attention."""
    return _contest(
        case,
        "compressive-transformer",
        segment=case.segment,
        mem_len=case.mem_len,
        cmem_len=case.cmem_len,
        compression_rate=case.compression_rate,
        compression="conv",
        reconstruction="attention",
        **_attention_sizes(case),
    )


def reformer(case: Case) -> Contestant:
    """Every layer hashes; plain layers, whose activations are kept."""
    return _reformer(case, reversible=False)


def reversible_reformer(case: Case) -> Contestant:
    """Every layer hashes; reversible layers, whose activations are computed again."""
    return _reformer(case, reversible=True)


def longformer(case: Case) -> Contestant:
    """The causal window with its global tokens."""
    return _contest(case, "longformer", window=case.window, n_global=case.n_global, **_attention_sizes(case))


def longformer_encoder(case: Case) -> Contestant:
    """The window to both sides; the first tokens are global."""
    model = create_model("longformer-encoder", window=case.window, **_attention_sizes(case))

    def global_mask(tokens: Tensor) -> Tensor:
        return (torch.arange(tokens.shape[1]) < case.n_global).expand_as(tokens)

    def padded(tokens: Tensor, lengths: Tensor) -> Tensor:
        return model.logits(tokens, lengths=lengths, global_mask=global_mask(tokens))

    def advance(tokens: Tensor, _memory: Any) -> tuple[Tensor, None]:
        return model.logits(tokens, global_mask=global_mask(tokens)), None

    def loss(tokens: Tensor, targets: Tensor, _memory: Any) -> tuple[Tensor, float, None]:
        nats = model.token_losses(tokens, targets, global_mask=global_mask(tokens))
        return nats.sum() / (targets >= 0).sum(), 0.0, None

    return Encoder(module=model, case=case, advance=advance, loss=loss, padded=padded)


def bert_classifier(case: Case) -> Contestant:
    """Dense attention to both sides, the class told from the mean of all tokens."""
    return _teller(case, "bert")


def longformer_classifier(case: Case) -> Contestant:
    """The window to both sides; the first token is global, and the class is told from it."""
    return _teller(case, "longformer-encoder", window=case.window)


def encoder_decoder(case: Case) -> Contestant:
    """The Transformer."""
    return _writer(case, "encoder-decoder")


def longformer_encoder_decoder(case: Case) -> Contestant:
    """Its source read by windows, the first token global."""
    return _writer(case, "longformer-encoder-decoder", window=case.window)


def sparse_strided(case: Case) -> Contestant:
    """The last tokens, and every so manieth before them."""
    return _sparse(case, pattern="strided")


def sparse_fixed(case: Case) -> Contestant:
    """The open block, and the ends of those before it."""
    return _sparse(case, pattern="fixed")


def dnc(case: Case) -> Contestant:
    """The differentiable neural computer as published."""
    return _contest(case, "dnc", **machine_config(case))


def ntm(case: Case) -> Contestant:
    """The Neural Turing Machine, one head that writes."""
    return _contest(case, "ntm", **machine_config(case))


def mann(case: Case) -> Contestant:
    """Least-recently-used access."""
    return _contest(case, "mann", **machine_config(case))


def machine_config(case: Case) -> dict[str, Any]:
    """Sizes of a controller and its matrix."""
    return _recurrent_sizes(case) | {name: getattr(case, name) for name in ("memory_slots", "slot_size", "n_reads")}


def _reformer(case: Case, *, reversible: bool) -> Contestant:
    return _contest(
        case,
        "reformer",
        proof=torch.float64,
        layers=("lsh",),
        reversible=reversible,
        n_hashes=case.n_hashes,
        n_buckets=case.n_buckets,
        bucket_size=case.bucket_size,
        context=case.context,
        **_attention_sizes(case),
    )


def _teller(case: Case, name: str, **config: Any) -> Contestant:
    model = Classifier(create_model(name, **config, **_attention_sizes(case)), [str(n) for n in range(N_CLASSES)])
    return Teller(model, case, lambda tokens, lengths: model(tokens, lengths=lengths))


def _writer(case: Case, name: str, **config: Any) -> Contestant:
    model = create_model(name, context=case.chunk, **config, **_attention_sizes(case))

    def foresee(source: Tensor, lengths: Tensor | None, tokens: Tensor) -> Tensor:
        return model(tokens, model.read(source, lengths=lengths))[0]

    def nats(
        source: Tensor, lengths: Tensor | None, tokens: Tensor, targets: Tensor, of_targets: Tensor | None
    ) -> Tensor:
        return model.token_losses(tokens, targets, model.read(source, lengths=lengths), lengths=of_targets)[0].sum()

    def write(source: Tensor, lengths: Tensor | None, beams: int, count: int) -> Tensor:
        memory, first = model.read(source, lengths=lengths), torch.zeros(len(source), dtype=torch.long)
        found = beam_search(model, memory, first, beams=beams, max_new_tokens=count)
        return torch.tensor([hypotheses[0].tokens for hypotheses in found])

    return Writer(model, case, foresee=foresee, nats=nats, write=write)


def _sparse(case: Case, *, pattern: str) -> Contestant:
    kept = {"stride": case.stride, "summary": case.summary, "context": case.context}
    return _contest(case, "sparse-transformer", pattern=pattern, **kept, **_attention_sizes(case))


def _contest(case: Case, name: str, *, proof: torch.dtype = torch.float32, **config: Any) -> Contestant:
    return contestant_of(create_model(name, **config), case, proof=proof)


def contestant_of(model: AnyLanguageModel, case: Case, *, proof: torch.dtype = torch.float32) -> Contestant:
    """A causal model, called as Everlong's training calls it."""

    def loss(tokens: Tensor, targets: Tensor, memory: Any) -> tuple[Tensor, Tensor | float, Any]:
        nats, memory, others = model.token_losses(tokens, targets, memory)
        return nats.mean(), sum(others.values(), 0.0), memory.detach()

    return Contestant(module=model, case=case, advance=model, loss=loss, proof=proof)


def _attention_sizes(case: Case) -> dict[str, Any]:
    return _recurrent_sizes(case) | {"n_heads": case.n_heads, "d_ff": case.d_ff}


def _recurrent_sizes(case: Case) -> dict[str, Any]:
    return {"vocab_size": case.vocab_size, "d_model": case.d_model, "n_layers": case.n_layers, "dropout": 0.0}
