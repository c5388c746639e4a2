"""Where pinned entries are drawn from, what is kept of them, and who sees which."""

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.pins import ROWS, Pins, beside_band

COUNT, TIME = 3, 9


def make_clock(*, ragged: bool) -> Clock:
    """Five lanes: new, two tokens old, old, old with two new documents, and one that is idle where lanes are ragged."""
    starts = torch.zeros(5, TIME, dtype=torch.bool)
    starts[0, 0] = starts[3, 0] = starts[3, 2] = starts[3, 7] = starts[1, 6] = True
    lengths = torch.tensor([TIME, 8, 2, 9, 0]) if ragged else None
    return tick(torch.tensor([0, 2, 70, 70, 1]), time=TIME, starts=starts, lengths=lengths)


def named(clock: Clock) -> tuple[Tensor, Tensor]:
    """Slots and entries that say which position of their document they are; another document's slots say -9."""
    slots = torch.arange(COUNT).expand(5, COUNT).where(torch.arange(COUNT) < clock.before[:, None], -9)
    return slots[..., None].double(), clock.position[..., None].double()


def test_beside_a_band_stand_the_first_tokens_that_it_does_not_show() -> None:
    position = torch.arange(12).expand(2, -1)
    for window, dilation in [(1, 1), (4, 1), (3, 2), (20, 1)]:
        found = beside_band(position, count=5, window=window, dilation=dilation)
        for t in range(12):
            band = {t - i * dilation for i in range(window)}
            assert found[1, t].nonzero().flatten().tolist() == [j for j in range(min(5, t)) if j not in band]


@pytest.mark.parametrize("ragged", [True, False])
def test_a_token_sees_the_pins_of_its_own_document(ragged: bool) -> None:
    clock = make_clock(ragged=ragged)
    pins = Pins(clock, COUNT)
    drawn = pins.read(*named(clock))[..., 0]
    begins = clock.position == 0
    for window, dilation in [(1, 1), (2, 3)]:
        beside = beside_band(clock.position, count=COUNT, window=window, dilation=dilation)
        seen: dict[tuple[int, int], list[float]] = {}
        for block in pins.blocks(window=window, dilation=dilation, heads=None):
            assert block.visible is not None
            for lane, q, k in block.visible.nonzero().tolist():
                t, key = range(TIME)[block.queries][q], range(drawn.shape[1])[block.keys][k]
                seen.setdefault((lane, t), []).append(float(drawn[lane, key]))
                # A document that began at a later token cannot have been drawn from.
                assert key // COUNT == int(begins[lane, 1 : t + 1].sum())
        for lane in range(5):
            for t in range(TIME):
                expected = beside[lane, t].nonzero().flatten().tolist()
                assert seen.get((lane, t), []) == expected


def test_what_is_kept_are_the_first_tokens_of_the_last_document() -> None:
    clock = make_clock(ragged=True)
    kept = Pins(clock, COUNT).kept(*named(clock))[..., 0].tolist()
    assert kept[:4] == [[0, 1, 2], [0, 1, 1], [0, 1, 2], [0, 1, 1]]
    assert kept[4] == [0, -9, -9]


def test_settled_pins_are_not_touched() -> None:
    slots, entries = torch.randn(2, COUNT, 4), torch.randn(2, TIME, 4)
    settled = Pins(tick(torch.tensor([3, 90]), time=TIME, starts=None, lengths=None), COUNT)
    assert settled.read(slots, entries) is slots
    assert settled.kept(slots, entries) is slots
    filling = Pins(tick(torch.tensor([2, 90]), time=TIME, starts=None, lengths=None), COUNT)
    expected = torch.cat([slots[:1, :2], entries[:1, :1]], dim=1)
    assert torch.equal(filling.read(slots, entries), torch.cat([expected, slots[1:]]))
    assert torch.equal(filling.kept(slots, entries), torch.cat([expected, slots[1:]]))


def test_an_empty_slot_is_not_drawn_from() -> None:
    clock = make_clock(ragged=True)
    slots, entries = named(clock)
    drawn = Pins(clock, COUNT).read(slots.where(slots >= 0, torch.nan), entries)
    assert bool(drawn.isfinite().all())


def test_only_tokens_that_see_a_pin_are_planned_for_and_not_too_many_at_a_time() -> None:
    clock = tick(torch.tensor([0, 0]), time=2 * ROWS + 50, starts=None, lengths=None)
    blocks = Pins(clock, COUNT).blocks(window=11, dilation=1, heads=slice(1, 2))
    assert [block.queries for block in blocks] == [
        slice(11, ROWS + 11),
        slice(ROWS + 11, 2 * ROWS + 11),
        slice(2 * ROWS + 11, 2 * ROWS + 50),
    ]
    assert all(block.keys == slice(0, COUNT) for block in blocks)
    assert all(block.heads == slice(1, 2) for block in blocks)
    assert all(block.visible is not None and block.visible.stride(0) == 0 for block in blocks)
    assert Pins(clock, COUNT).blocks(window=5000, dilation=1, heads=None) == []
    assert Pins(clock, 0).blocks(window=1, dilation=1, heads=None) == []
