import torch
from torch.nn import functional as F

from everlong.nn.blocks import FeedForward


def test_feed_forward_is_its_equation() -> None:
    block = FeedForward(d_model=4, d_ff=6, dropout=0.5).eval()
    x = torch.randn(2, 3, 4)
    expected = F.relu(x @ block.up.weight.T + block.up.bias) @ block.down.weight.T + block.down.bias
    torch.testing.assert_close(block(x), expected)


def test_dropout_happens_in_training_only() -> None:
    block, x = FeedForward(d_model=4, d_ff=6, dropout=0.5), torch.randn(2, 3, 4)
    assert not torch.equal(block.train()(x), block(x))
    assert torch.equal(block.eval()(x), block(x))
