import torch
from torch import nn
from torch.nn import functional as F

from everlong.nn.blocks import FeedForward, init_normal


def test_feed_forward_is_its_equation() -> None:
    block = FeedForward(d_model=4, d_ff=6, dropout=0.5).eval()
    x = torch.randn(2, 3, 4)
    expected = F.relu(x @ block.up.weight.T + block.up.bias) @ block.down.weight.T + block.down.bias
    torch.testing.assert_close(block(x), expected)


def test_dropout_happens_in_training_only() -> None:
    block, x = FeedForward(d_model=4, d_ff=6, dropout=0.5), torch.randn(2, 3, 4)
    assert not torch.equal(block.train()(x), block(x))
    assert torch.equal(block.eval()(x), block(x))


def test_another_activation_takes_its_place() -> None:
    block, x = FeedForward(d_model=4, d_ff=6, dropout=0.0, activation=F.gelu), torch.randn(2, 3, 4)
    torch.testing.assert_close(block(x), block.down(F.gelu(block.up(x))))


def test_weights_begin_small_and_biases_at_zero() -> None:
    stack = nn.Sequential(nn.Embedding(50, 40), nn.Linear(40, 50), nn.Linear(50, 40, bias=False), nn.LayerNorm(40))
    stack.apply(init_normal)
    for part in stack[:3]:
        assert 0.018 < float(part.weight.detach().std()) < 0.022
    assert not stack[1].bias.any()
    assert torch.equal(stack[3].weight, torch.ones(40))
