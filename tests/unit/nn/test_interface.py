"""The interface vector: ranges, clipping and slopes."""

import torch

from everlong.nn.interface import CLIP, Interface

PARTS = Interface(
    {
        "key": ("linear", 2),
        "add": ("tanh", 3),
        "gate": ("sigmoid", 1),
        "erase": ("sigmoid", 2),
        "strength": ("softplus", 1),
        "power": ("oneplus", 2),
        "none": ("sigmoid", 0),
    }
)


def test_every_part_has_its_range() -> None:
    x = torch.randn(4, PARTS.size, dtype=torch.float64) * 30
    given = x.clone()
    key, add, gate, erase, strength, power, none = PARTS.cut(PARTS.of(x))
    assert torch.equal(x, given)
    clipped = x.clamp(-CLIP, CLIP)
    torch.testing.assert_close(key, clipped[:, :2])
    torch.testing.assert_close(add, clipped[:, 2:5].tanh())
    torch.testing.assert_close(torch.cat([gate, erase], dim=1), clipped[:, 5:8].sigmoid())
    torch.testing.assert_close(strength, torch.log1p(clipped[:, 8:9].exp()))
    torch.testing.assert_close(power, 1 + torch.log1p(clipped[:, 9:].exp()))
    assert none.shape == (4, 0)


def test_every_part_has_its_place() -> None:
    y = torch.arange(float(PARTS.size))[None]
    for name, part in zip(PARTS.names, PARTS.cut(y), strict=True):
        assert torch.equal(y[:, PARTS.place(name)], part)


def test_slopes_are_those_of_autograd() -> None:
    x = (torch.randn(3, 4, PARTS.size, dtype=torch.float64) * 15).requires_grad_()
    clipped = x.clamp(-CLIP, CLIP)
    parts = [
        clipped[..., :2],
        clipped[..., 2:5].tanh(),
        clipped[..., 5:8].sigmoid(),
        torch.log1p(clipped[..., 8:].exp()),
    ]
    (expected,) = torch.autograd.grad(torch.cat(parts, dim=-1).sum(), [x])
    y = torch.stack([PARTS.of(step) for step in x.detach()])
    found = PARTS.slope(x.detach(), y.detach())
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert bool((found == 0).any())
