"""Right before fast: a model whose answer depends on where the stream was cut, or on padding, is not timed at all."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .case import Case
from .contestant import Contestant, Encoder
from .texts import Teller, Writer


def worst_disagreement(build: Callable[[Case], Contestant], case: Case) -> float:
    """Largest disagreement of a model with itself, over a small and the measured size, training and evaluation."""
    worst = 0.0
    for sizes in (case.small(), case):
        torch.manual_seed(1)
        contestant = build(replace(sizes, lanes=2))
        contestant.module.to(contestant.proof)
        stir(contestant.module)
        for training in (False, True):
            contestant.module.train(training)
            worst = max(worst, *disagreements(contestant))
    return worst


@torch.no_grad()
def stir(module: nn.Module) -> None:
    """Move every weight a little: a model whose output layer begins at zero would agree with anything."""
    for parameter in module.parameters():
        parameter.add_(0.02 * torch.randn_like(parameter))


def disagreements(contestant: Contestant) -> tuple[float, ...]:
    """A stream must not feel where it is cut, an encoder must not feel padding; and losses must be what they claim."""
    if isinstance(contestant, Teller):
        return class_disagreement(contestant), class_loss_disagreement(contestant)
    if isinstance(contestant, Writer):
        return source_disagreement(contestant), target_loss_disagreement(contestant), writing_disagreement(contestant)
    if isinstance(contestant, Encoder):
        return padding_disagreement(contestant), hidden_loss_disagreement(contestant)
    return cut_disagreement(contestant), loss_disagreement(contestant)


@torch.no_grad()
def cut_disagreement(contestant: Contestant) -> float:
    """The whole stream at once against chunks of every kind: short, whole, single tokens, longer than a chunk."""
    chunk = contestant.case.chunk
    lengths = [chunk // 3 + 1, 1, 1, chunk, 1, chunk // 2, chunk + 5]
    tokens = _tokens(contestant, sum(lengths))
    whole, _ = contestant.advance(tokens, None)
    pieces, memory = [], None
    for piece in tokens.split(lengths, dim=1):
        logits, memory = contestant.advance(piece, memory)
        pieces.append(logits)
    return _difference(whole, torch.cat(pieces, dim=1))


@torch.no_grad()
def loss_disagreement(contestant: Contestant) -> float:
    """The loss that the training step takes against cross-entropy of the logits, the second chunk of a stream."""
    chunk = contestant.case.chunk
    tokens = _tokens(contestant, 2 * chunk + 1)
    _, memory = contestant.advance(tokens[:, :chunk], None)
    inputs, targets = tokens[:, chunk:-1], tokens[:, chunk + 1 :]
    logits, _ = contestant.advance(inputs, memory)
    loss, _, _ = contestant.loss(inputs, targets, memory)
    return _difference(F.cross_entropy(logits.flatten(0, 1), targets.flatten()), loss)


@torch.no_grad()
def padding_disagreement(encoder: Encoder) -> float:
    """Two texts of different length in one batch, with two kinds of padding, against each text alone."""
    assert encoder.padded is not None
    chunk = encoder.case.chunk
    lengths = [chunk, chunk // 2 + 3]
    tokens, other = _tokens(encoder, chunk), _tokens(encoder, chunk).flip(1)
    real = torch.arange(chunk) < torch.tensor(lengths)[:, None]
    worst = 0.0
    for padding in (torch.zeros_like(tokens), other):
        together = encoder.padded(torch.where(real, tokens, padding), torch.tensor(lengths))
        for lane, length in enumerate(lengths):
            alone, _ = encoder.advance(tokens[lane : lane + 1, :length], None)
            worst = max(worst, _difference(alone[0], together[lane, :length]))
    return worst


@torch.no_grad()
def hidden_loss_disagreement(encoder: Encoder) -> float:
    """The loss that the training step takes against cross-entropy of the logits at the hidden tokens."""
    inputs, targets = encoder.example()
    logits, _ = encoder.advance(inputs, None)
    loss, _, _ = encoder.loss(inputs, targets, None)
    return _difference(F.cross_entropy(logits.flatten(0, 1), targets.flatten()), loss)


@torch.no_grad()
def class_disagreement(teller: Teller) -> float:
    """Two texts of different length in one batch, with two kinds of padding, against each text alone."""
    tokens, lengths = _tokens(teller, teller.case.chunk), _two_lengths(teller.case.chunk)
    alone = [teller.tell(tokens[lane : lane + 1, :length], None) for lane, length in enumerate(lengths)]
    together = [teller.tell(padded, torch.tensor(lengths)) for padded in _padded(tokens, lengths)]
    return max(_difference(torch.cat(alone), found) for found in together)


@torch.no_grad()
def class_loss_disagreement(teller: Teller) -> float:
    """The loss that the training step takes against cross-entropy of the logits."""
    tokens, classes = teller.example()
    logits, _ = teller.advance(tokens, None)
    return _difference(F.cross_entropy(logits, classes), teller.loss(tokens, classes, None)[0])


@torch.no_grad()
def source_disagreement(writer: Writer) -> float:
    """The same with two sources, by what is foreseen after each token of a target."""
    source, target = _tokens(writer, writer.case.source), _tokens(writer, writer.case.chunk)
    lengths = _two_lengths(writer.case.source)
    worst = 0.0
    for padded in _padded(source, lengths):
        together = writer.foresee(padded, torch.tensor(lengths), target)
        for lane, length in enumerate(lengths):
            only = slice(lane, lane + 1)
            alone = writer.foresee(source[only, :length], None, target[only])
            worst = max(worst, _difference(alone, together[only]))
    return worst


@torch.no_grad()
def target_loss_disagreement(writer: Writer) -> float:
    """The loss that the training step takes against cross-entropy of the logits at real targets."""
    source, target = writer.example()
    logits = writer.foresee(source, writer.source_lengths, target[:, :-1])
    real = [(lane, length) for lane, length in enumerate(writer.case.lengths(writer.case.chunk))]
    found = torch.cat([logits[lane, :length] for lane, length in real])
    wanted = torch.cat([target[lane, 1 : length + 1] for lane, length in real])
    return _difference(F.cross_entropy(found, wanted), writer.loss(source, target, None)[0])


@torch.no_grad()
def writing_disagreement(writer: Writer) -> float:
    """By how much what is written, likeliest token by token, misses the likeliest of the whole pass; 0 in training."""
    if writer.module.training:
        return 0.0
    source = _tokens(writer, writer.case.source)
    written = writer.write(source, writer.source_lengths, 1, writer.case.chunk)
    read = torch.cat([torch.zeros_like(written[:, :1]), written[:, :-1]], dim=1)
    logits = writer.foresee(source, writer.source_lengths, read)
    return _difference(logits.amax(dim=-1), logits.gather(2, written[..., None])[..., 0])


def _two_lengths(longest: int) -> list[int]:
    return [longest, longest // 2 + 3]


def _padded(tokens: Tensor, lengths: list[int]) -> list[Tensor]:
    """The texts with two kinds of padding behind them."""
    real = torch.arange(tokens.shape[1]) < torch.tensor(lengths)[:, None]
    return [torch.where(real, tokens, padding) for padding in (torch.zeros_like(tokens), tokens.flip(1))]


def _tokens(contestant: Contestant, time: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(contestant.case.vocab_size, (contestant.case.lanes, time), generator=generator)


def _difference(expected: Tensor, found: Tensor) -> float:
    scale = expected.abs().max().clamp(min=1.0)
    return ((expected - found).abs().max() / scale).nan_to_num(nan=math.inf).item()
