"""What compressions keep, and the two losses, against loops over their definitions."""

import math

import pytest
import torch
from torch import Tensor

from everlong.nn.compression import (
    Compressor,
    attention_reconstruction,
    auto_encoding,
    blocks_of,
    context_of,
    has_weights,
    max_pool,
    mean_pool,
    most_used,
    the_only,
)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def make(compression: str, *, rate: int = 3, decodes: bool = False) -> Compressor:
    return Compressor(width=4, rate=rate, compression=compression, decodes=decodes).double()


def test_pools_are_per_coordinate() -> None:
    blocks = torch.tensor([[[1.0, 5.0], [3.0, -2.0]]])
    assert max_pool(blocks).tolist() == [[3.0, 5.0]]
    assert mean_pool(blocks).tolist() == [[2.0, 1.5]]
    assert the_only(blocks[:, :1]).tolist() == [[1.0, 5.0]]
    for name, pool in (("max-pool", max_pool), ("mean-pool", mean_pool)):
        assert torch.equal(make(name, rate=2)(blocks.double()), pool(blocks.double()))


@pytest.mark.parametrize("lead", [(5,), (2, 5)])
def test_a_convolution_is_torchs(lead: tuple[int, ...]) -> None:
    compressor, blocks = make("conv"), random(*lead, 3, 4)
    assert compressor.encoder is not None
    kernel = compressor.encoder.weight.view(4, 3, 4).transpose(1, 2)
    line = blocks.reshape(1, -1, 4).transpose(1, 2)
    expected = torch.nn.functional.conv1d(line, kernel, compressor.encoder.bias, stride=3)[0].T
    torch.testing.assert_close(compressor(blocks), expected.view(*lead, 4), rtol=0, atol=1e-14)


def test_a_dilated_convolution_is_torchs() -> None:
    compressor, line = make("dilated-conv"), random(1, 2 + 12, 4)
    assert context_of("dilated-conv", rate=3) == 2
    assert compressor.encoder is not None
    kernel = compressor.encoder.weight.view(4, 3, 4).transpose(1, 2)
    found = compressor(blocks_of(line, rate=3, context=2))[0]
    expected = torch.nn.functional.conv1d(line.transpose(1, 2), kernel, compressor.encoder.bias, stride=3, dilation=2)[
        0
    ].T
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("compression", ["conv", "dilated-conv"])
def test_a_convolution_begins_as_the_mean_of_what_it_reads_and_decodes_by_repeating(compression: str) -> None:
    compressor = make(compression, decodes=True)
    compressor.begin_as_mean()
    blocks = random(5, 3 + context_of(compression, rate=3), 4)
    read = blocks[:, ::2] if compression == "dilated-conv" else blocks
    slots = compressor(blocks)
    torch.testing.assert_close(slots, read.mean(dim=1), rtol=0, atol=1e-6)
    assert compressor.decoder is not None
    assert torch.equal(compressor.decoder(slots), slots.repeat(1, 3))


def test_through_a_frozen_convolution_gradients_reach_the_blocks_alone() -> None:
    compressor, blocks = make("conv"), random(5, 3, 4).requires_grad_()
    weights = list(compressor.parameters())
    frozen = torch.autograd.grad(compressor(blocks, frozen=True).sum(), [blocks, *weights], allow_unused=True)
    free = torch.autograd.grad(compressor(blocks).sum(), [blocks, *weights])
    assert torch.equal(frozen[0], free[0])
    assert frozen[1:] == (None, None)
    assert all(bool(gradient.any()) for gradient in free)


def test_only_convolutions_have_weights_and_only_auto_encoding_decodes() -> None:
    for compression in ("max-pool", "mean-pool", "identity"):
        assert not has_weights(compression)
        assert not list(make(compression, decodes=True).parameters())
        make(compression).begin_as_mean()
    for compression in ("conv", "dilated-conv"):
        assert has_weights(compression)
        assert len(list(make(compression).parameters())) == 2
        assert len(list(make(compression, decodes=True).parameters())) == 4


def test_most_used_keeps_the_order_and_prefers_the_older_of_equals() -> None:
    entries = torch.arange(5.0)[None, :, None].expand(2, -1, 3)
    received = torch.tensor([[0.1, 2.0, 0.5, 3.0, 0.4], [1.0, 1.0, 1.0, 1.0, 1.0]])
    assert most_used(entries, received, keep=2)[..., 0].tolist() == [[1, 3], [0, 1]]
    assert most_used(entries, received, keep=5)[..., 0].tolist() == [[0, 1, 2, 3, 4]] * 2
    assert most_used(entries, received, keep=0).shape == (2, 0, 3)


def test_attention_reconstruction_one_by_one() -> None:
    query, old, new = random(2, 3, 2, 4), random(2, 6, 2, 2, 4), random(2, 2, 2, 2, 4)

    def read(lane: int, t: int, head: int, key: Tensor, value: Tensor) -> Tensor:
        weight = torch.softmax(key[lane, :, head] @ query[lane, t, head] / math.sqrt(4), dim=0)
        return weight @ value[lane, :, head]

    found = attention_reconstruction(query, old=old, new=new)
    for lane in range(2):
        for t in range(3):
            gaps = [read(lane, t, head, *old.unbind(2)) - read(lane, t, head, *new.unbind(2)) for head in range(2)]
            expected = torch.cat(gaps).square().mean()
            torch.testing.assert_close(found[lane, t], expected, rtol=0, atol=1e-14)
    assert float(attention_reconstruction(query, old=old, new=old).abs().max()) == 0.0


def test_auto_encoding_is_zero_for_what_was_repeated() -> None:
    slots = random(5, 4)
    assert float(auto_encoding(slots[:, None].expand(-1, 3, -1), slots.repeat(1, 3)).max()) == 0.0
    blocks, decoded = random(5, 3, 4), random(5, 12)
    torch.testing.assert_close(auto_encoding(blocks, decoded)[2], (blocks[2].flatten() - decoded[2]).square().mean())
