"""The laws of a bidirectional encoder: ``hidden = encoder(tokens, lengths=lengths)`` for texts that know no stream.

    from everlong.testing import verify_encoder

    verify_encoder(my_encoder)

They are heard as the laws of the memory contract are (everlong.testing.laws): in float64, without dropout, in training,
in evaluation and in inference mode. An encoder with global tokens is heard with and without some, and one that reads in
sections with sections marked and without.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from everlong.errors import ContractViolation
from everlong.models.encoder import Encoder
from everlong.shapes import IGNORE
from everlong.testing.judge import same_numbers
from everlong.testing.laws import Law
from everlong.testing.subject import LANES, MODES, Subject

Marks = dict[str, Tensor]
"""What is said about the tokens of a call, by the argument's name."""

MOVED = 1e-9
"""A hidden state that differs by more has seen a change."""


def law_any_length(subject: Subject) -> None:
    """A text may have any number of tokens from 1 up."""
    for time in [*range(1, 10), 13, 17, 31]:
        tokens = subject.tokens(time, rng=subject.rng(salt=time))
        for marks in _marks(subject, time):
            try:
                hidden = _encode(subject, tokens, **marks)
            except Exception as error:
                raise ContractViolation(f"a text of {time} tokens raised {type(error).__name__}: {error}") from error
            width = _encoder(subject).config.d_model
            if hidden.shape != (LANES, time, width) or not bool(hidden.isfinite().all()):
                raise ContractViolation(
                    f"hidden states of a text of {time} tokens are not {[LANES, time, width]} finite numbers"
                )


def law_isolated(subject: Subject) -> None:
    """No lane affects another."""
    tokens = subject.tokens(subject.length, rng=subject.rng(salt=2))
    for marks in _marks(subject, subject.length):
        together = _encode(subject, tokens, **marks)
        for lane in range(LANES):
            only = slice(lane, lane + 1)
            alone = _encode(subject, tokens[only], **_of(marks, only))
            same_numbers(alone, together[only], what=f"hidden states of lane {lane} alone, compared with company,")


def law_padding_inert(subject: Subject) -> None:
    """Padding never changes anything, whatever it holds and however much there is; its own states are zeros."""
    rng, time = subject.rng(salt=3), 9
    for lengths in ([0, 4, 9], [9, 1, 0], [0, 0, 0], [7, 8, 9]):
        real = torch.tensor(lengths, device=subject.device)
        padding = torch.arange(time, device=subject.device) >= real[:, None]
        tokens, noise = subject.tokens(time, rng=rng), subject.tokens(time, rng=rng)
        for marks in _marks(subject, time):
            hidden = _encode(subject, tokens, lengths=real, **marks)
            if bool(hidden[padding].any()):
                raise ContractViolation(f"hidden states of padding, with lengths={lengths}, are not zeros")
            for lane, length in enumerate(lengths):
                if length:
                    own = (slice(lane, lane + 1), slice(length))
                    alone = _encode(subject, tokens[own], **_of(marks, own))
                    what = f"hidden states of {length} real tokens, compared with those of the text without padding,"
                    same_numbers(hidden[own], alone, what=what)
            for more in (0, 5, 23):
                wide = torch.cat([tokens.where(~padding, noise), subject.tokens(more, rng=rng)], dim=1)
                again = _encode(subject, wide, lengths=real, **_and_padding(marks, padding, more))[:, :time]
                same_numbers(again, hidden, what=f"hidden states with lengths={lengths}, when padding changes,")


def law_both_sides(subject: Subject) -> None:
    """A change of a token reaches tokens before it and tokens after it."""
    tokens = subject.tokens(subject.length, rng=subject.rng(salt=4))
    at = subject.length // 2
    moved = _moved(subject, tokens, _changed(subject, tokens, at))
    for side, part in {"before": moved[:, :at], "after": moved[:, at + 1 :]}.items():
        if not bool(part.any()):
            raise ContractViolation(f"no token {side} token {at} notices when that one changes")


def law_ordered(subject: Subject) -> None:
    """Two neighbours that change places are noticed by others: the order of a text is part of it."""
    tokens = subject.tokens(subject.length, rng=subject.rng(salt=5))
    at = subject.length // 2
    tokens[:, at + 1] = (tokens[:, at] + 1) % subject.vocab_size
    swapped = tokens.clone()
    swapped[:, [at, at + 1]] = tokens[:, [at + 1, at]]
    moved = _moved(subject, tokens, swapped)
    moved[:, at : at + 2] = False
    if not bool(moved.any()):
        raise ContractViolation(f"nothing else notices when tokens {at} and {at + 1} change places")


def law_reach(subject: Subject) -> None:
    """No token sees further to a side than ``config.reach`` says."""
    reach = _encoder(subject).config.reach
    if reach is None:
        return
    time = reach + 9
    tokens = subject.tokens(time, rng=subject.rng(salt=6))
    for at in (0, 4, time - 1):
        moved = _moved(subject, tokens, _changed(subject, tokens, at))
        distance = (torch.arange(time, device=subject.device) - at).abs()
        if bool(moved[:, distance > reach].any()):
            furthest = int(distance[moved.any(dim=0)].max())
            raise ContractViolation(f"config.reach is {reach}, but a token {furthest} away notices a change")


def law_hidden_tokens(subject: Subject) -> None:
    """The mask symbol can be read and is never an answer; losses are those of the logits, and 0 where none is asked."""
    encoder, rng = _encoder(subject), subject.rng(salt=7)
    tokens, targets = subject.tokens(9, rng=rng), subject.tokens(9, rng=rng)
    tokens[:, 2::3], targets[:, ::2] = encoder.mask_token, IGNORE
    logits = encoder.logits(tokens)
    if logits.shape != (LANES, 9, subject.vocab_size):
        raise ContractViolation(
            f"logits have shape {list(logits.shape)}, not one for each of {subject.vocab_size} tokens of the vocabulary"
        )
    asked = targets != IGNORE
    expected = torch.zeros_like(logits[..., 0])
    expected[asked] = -logits.log_softmax(dim=-1)[asked].gather(1, targets[asked][:, None])[:, 0]
    same_numbers(encoder.token_losses(tokens, targets), expected, what="losses, compared with those of the logits,")
    nothing = encoder.token_losses(tokens, torch.full_like(targets, IGNORE))
    same_numbers(nothing, torch.zeros_like(nothing), what="losses where nothing is asked for")


def law_global(subject: Subject) -> None:
    """A global token sees all and is seen by all; a mask without any is no mask."""
    if not _encoder(subject).has_global_tokens:
        return
    reach = _encoder(subject).config.reach
    time = subject.length if reach is None else reach + 9
    tokens = subject.tokens(time, rng=subject.rng(salt=8))
    none = torch.zeros_like(tokens, dtype=torch.bool)
    what = "hidden states with a global_mask of no tokens, compared with none,"
    same_numbers(_encode(subject, tokens, global_mask=none), _encode(subject, tokens), what=what)
    for at in (0, time // 2, time - 1):
        mask = none.clone()
        mask[:, at] = True
        if not bool(_moved(subject, tokens, _changed(subject, tokens, at), mask).all()):
            raise ContractViolation(f"some token does not notice when the global token {at} changes")
        for other in (0, time - 1):
            if not bool(_moved(subject, tokens, _changed(subject, tokens, other), mask)[:, at].all()):
                raise ContractViolation(f"the global token {at} does not notice when token {other} changes")


def law_pooled(subject: Subject) -> None:
    """A text has one vector, which depends on it and on nothing else, padding included; that of no text is zeros."""
    rng, time = subject.rng(salt=11), 9
    encoder, tokens = _encoder(subject), subject.tokens(time, rng=rng)
    lengths = [0, 4, 9]
    real = torch.tensor(lengths, device=subject.device)
    padding = torch.arange(time, device=subject.device) >= real[:, None]
    for marks in _marks(subject, time):
        vectors = encoder.pool(tokens, lengths=real, **marks)
        if vectors.shape != (LANES, encoder.config.d_model) or not bool(vectors.isfinite().all()):
            raise ContractViolation(
                f"vectors of {LANES} texts are not {[LANES, encoder.config.d_model]} finite numbers"
            )
        if bool(vectors[0].any()):
            raise ContractViolation("the vector of an empty text is not zeros")
        for lane, length in enumerate(lengths[1:], start=1):
            own = (slice(lane, lane + 1), slice(length))
            alone = encoder.pool(tokens[own], **_of(marks, own))
            same_numbers(vectors[lane], alone[0], what=f"vector of {length} tokens, compared with that text alone,")
            if torch.equal(encoder.pool(_changed(subject, tokens[own], length // 2), **_of(marks, own)), alone):
                raise ContractViolation(f"the vector of {length} tokens stays as it is when one of them changes")
        wide = torch.cat([subject.tokens(time, rng=rng).where(padding, tokens), subject.tokens(7, rng=rng)], dim=1)
        again = encoder.pool(wide, lengths=real, **_and_padding(marks, padding, 7))
        same_numbers(again, vectors, what="vectors, when padding changes,")


def law_alive(subject: Subject) -> None:
    """Every trainable parameter gets a finite gradient, and two calls with the same arguments agree exactly."""
    tokens = subject.tokens(subject.length, rng=subject.rng(salt=9))
    first, second = _encode(subject, tokens), _encode(subject, tokens)
    if not torch.equal(first, second):
        gap = float((first - second).detach().abs().max())
        raise ContractViolation(f"two calls with the same tokens differ by {gap:.1e}: the encoder is not a function")
    if not subject.has_gradients:
        return
    silent = _without_gradient(subject)
    for draw in (1, 2):
        # Rectifiers may all be off by chance; three draws of the weights do not agree on that.
        silent = silent and [name for name in _without_gradient(subject.stirred(draw)) if name in silent]
    if silent:
        raise ContractViolation(f"no gradient of a hidden token's loss or a text's vector reaches {', '.join(silent)}")


ENCODER_LAWS = (
    Law(1, "any length", law_any_length, "Pad inside the encoder if it must; a caller may bring 1 token or 31."),
    Law(2, "isolated", law_isolated, "Mix no lanes."),
    Law(3, "padding inert", law_padding_inert, "Give padding no weight, and decide nothing by the width of the call."),
    Law(4, "both sides", law_both_sides, "Let a token see what comes before it and what comes after it."),
    Law(5, "ordered", law_ordered, "Tell tokens where they stand."),
    Law(6, "reach", law_reach, "State in config.reach how far all layers together see, or None."),
    Law(7, "hidden tokens", law_hidden_tokens, "Embed vocab_size + 1 symbols and answer with vocab_size."),
    Law(8, "global", law_global, "Let global tokens attend to all and all to them, or set has_global_tokens to False."),
    Law(9, "alive", law_alive, "Use every parameter or remove it, and draw no random numbers outside dropout."),
    Law(10, "pooled", law_pooled, "Sum up real tokens only, each text by itself."),
)


def verify_encoder(encoder: Encoder, *, length: int = 32, seed: int = 0) -> None:
    """Hear an encoder on all laws of encoders; it stays as it is.

    >>> verify_encoder(everlong.create_model("bert", vocab_size=11, d_model=8))

    Args:
        encoder: any encoder, registered or not.
        length: tokens of each lane of a long text.
        seed: of weights' noise and texts.

    Raises:
        ContractViolation: a law is broken; the message says which, what differed and by how much.
    """
    subject = Subject.of(encoder, length=length, seed=seed)
    for law in ENCODER_LAWS:
        for mode in MODES:
            law(subject.in_mode(mode))


def _encoder(subject: Subject) -> Encoder:
    assert isinstance(subject.model, Encoder)
    return subject.model


def _encode(subject: Subject, tokens: Tensor, *, lengths: Tensor | None = None, **marks: Tensor) -> Tensor:
    return _encoder(subject)(tokens, lengths=lengths, **marks)


def _marks(subject: Subject, time: int) -> Iterator[Marks]:
    """Nothing; and where the encoder has them, one in four tokens global, or the first of a section."""
    yield {}
    some = (torch.rand(LANES, time, generator=subject.rng(salt=time)) < 1 / 4).to(subject.device)
    if _encoder(subject).has_global_tokens:
        yield {"global_mask": some}
    if _encoder(subject).has_sections:
        yield {"sections": some}


def _of(marks: Marks, own: slice | tuple[slice, slice]) -> Marks:
    """The marks of one lane."""
    return {name: mask[own] for name, mask in marks.items()}


def _and_padding(marks: Marks, padding: Tensor, more: int) -> Marks:
    """The marks, and as many as there can be where nothing is real."""
    return {name: torch.nn.functional.pad(mask | padding, (0, more), value=True) for name, mask in marks.items()}


def _changed(subject: Subject, tokens: Tensor, at: int) -> Tensor:
    other = tokens.clone()
    other[:, at] = (other[:, at] + 1) % subject.vocab_size
    return other


def _moved(subject: Subject, tokens: Tensor, other: Tensor, global_mask: Tensor | None = None) -> Tensor:
    """Which tokens ``[b t]`` have another hidden state in another text."""
    marks = {} if global_mask is None else {"global_mask": global_mask}
    one, two = (_encode(subject, text, **marks) for text in (tokens, other))
    return (one - two).detach().abs().amax(dim=-1) > MOVED


def _without_gradient(subject: Subject) -> list[str]:
    encoder, rng = _encoder(subject), subject.rng(salt=10)
    tokens, targets = subject.tokens(subject.length, rng=rng), subject.tokens(subject.length, rng=rng)
    tokens[:, ::7] = encoder.mask_token
    masks = [marks.get("global_mask") for marks in _marks(subject, subject.length)]
    losses = [encoder.token_losses(tokens, targets, global_mask=mask) for mask in masks]
    gradients = subject.gradients([*losses, encoder.pool(tokens)])
    for name, gradient in gradients.items():
        if not bool(gradient.isfinite().all()):
            raise ContractViolation(f"the gradient of {name} in the loss of hidden tokens is not finite")
    return [name for name, gradient in gradients.items() if not bool(gradient.any())]
