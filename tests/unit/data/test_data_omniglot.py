"""One-shot episodes: who is shown, in which order, beside which label, and how drawings are disturbed."""

from pathlib import Path

import pytest
import torch
from tests.drawings import drawn

from everlong.data.synthetic import Omniglot, Pictures, generator
from everlong.data.synthetic.omniglot import PICTURES, disturb
from everlong.errors import DamagedFile, DataError

PLAIN = Omniglot(classes=3, instances=4, max_turn=0, max_shift=0)
RULES = PLAIN.with_pictures(drawn(6, 5, seed=1), drawn(5, 4, seed=2))


def numbered(characters: int, drawings: int) -> Pictures:
    """Drawings that say who they are: one corner's ink is the character, the next place's the drawing."""
    ink = torch.zeros(characters, drawings, 20, 20, dtype=torch.uint8)
    ink[:, :, 0, 0] = torch.arange(1, characters + 1)[:, None]
    ink[:, :, 0, 1] = torch.arange(1, drawings + 1)
    return Pictures(
        names=tuple(map(str, range(characters))),
        counts=torch.full((characters,), drawings),
        drawings=ink.flatten(0, 1),
    )


def test_an_episode_shows_so_many_drawings_of_so_many_characters_with_the_label_before() -> None:
    rules = PLAIN.with_pictures(numbered(6, 5), drawn(5, 4))
    characters, turns, orders = set[int](), set[int](), set[tuple[int, ...]]()
    for n in range(60):
        episode = rules.draw(generator(n), rules.draw_sizes(generator(n)))
        assert episode.inputs.shape == (12, 403)
        assert episode.targets.shape == (12, 1)
        own = episode.targets[:, 0].long().tolist()
        assert sorted(own) == [0] * 4 + [1] * 4 + [2] * 4
        before = episode.inputs[:, 400:]
        assert not before[0].any()
        assert before[1:].argmax(dim=1).tolist() == own[:-1]
        assert bool((before[1:].sum(dim=1) == 1).all())
        seen = list[tuple[int, int, int]]()
        for label, ink in zip(own, (episode.inputs[:, :400] * 255).round().view(12, 20, 20), strict=True):
            (turn,) = [k for k in range(4) if ink.rot90(-k)[0, 0] and ink.rot90(-k)[0, 1]]
            upright = ink.rot90(-turn)
            seen.append((label, int(upright[0, 0]), int(upright[0, 1])))
            turns.add(turn)
        assert len(set(seen)) == 12
        whose = {label: {character for its, character, _ in seen if its == label} for label in range(3)}
        assert all(len(found) == 1 for found in whose.values())
        assert len(set.union(*whose.values())) == 3
        characters |= set.union(*whose.values())
        orders.add(tuple(own))
        assert episode.marks is not None
        assert episode.marks.tolist() == [own[: k + 1].count(label) for k, label in enumerate(own)]
    assert (characters, turns) == (set(range(1, 7)), {0, 1, 2, 3})
    assert len(orders) > 50


def test_every_character_has_every_label_now_and_then() -> None:
    rules = PLAIN.with_pictures(numbered(3, 4), drawn(5, 4))
    found = set[tuple[int, int]]()
    for n in range(60):
        episode = rules.draw(generator(n), {"instances": 1})
        ink = (episode.inputs[:, :400] * 255).round().view(3, 20, 20)
        corners = torch.stack([ink[:, 0, 0], ink[:, 0, -1], ink[:, -1, 0], ink[:, -1, -1]])
        found |= set(zip(corners.amax(dim=0).int().tolist(), episode.targets[:, 0].int().tolist(), strict=True))
    assert found == {(character, label) for character in (1, 2, 3) for label in range(3)}


def test_what_is_measured_is_held_out_and_undisturbed() -> None:
    rules = Omniglot(classes=3, instances=4).with_pictures(numbered(6, 5), numbered(3, 4))
    measured = rules.measured()
    assert (measured.max_turn, measured.max_shift, measured.instances) == (0, 0, 4)
    episode = measured.draw(generator(0), {"instances": 4})
    assert int((episode.inputs[:, :400] * 255).round().max()) <= 4
    assert rules.trials() == measured.trials() == ({"instances": 4},)
    assert Omniglot(classes=3, instances=2).with_pictures(drawn(3, 9), drawn(3, 9)).trials() == ({"instances": 4},)


def test_disturbed_drawings_are_turned_and_shifted_each_in_its_own_way() -> None:
    ink = torch.zeros(200, 20, 20)
    ink[:, 5, 9:11] = 1.0
    same = disturb(generator(0), ink, max_turn=0, max_shift=0)
    assert torch.equal(same, ink)
    moved = disturb(generator(0), ink, max_turn=0, max_shift=3)
    torch.testing.assert_close(moved.sum(dim=(1, 2)), torch.full((200,), 2.0))
    rows, columns = (torch.arange(20.0) @ moved.sum(dim=dim).mT / 2 for dim in (2, 1))
    assert float((rows - 5).abs().max()) <= 3 + 1e-4
    assert float((columns - 9.5).abs().max()) <= 3 + 1e-4
    assert (float(rows.std()), float(columns.std())) == pytest.approx((3**0.5, 3**0.5), abs=0.2)
    turned = disturb(generator(0), ink, max_turn=30, max_shift=0)
    rows, columns = (torch.arange(20.0) @ turned.sum(dim=dim).mT / turned.sum(dim=(1, 2)) for dim in (2, 1))
    # From the middle, a distance of 4.5; to each side as far as the sine of 30 degrees.
    assert float(((rows - 9.5) ** 2 + (columns - 9.5) ** 2 - 4.5**2).abs().max()) < 0.7
    assert float((columns - 9.5).abs().max()) == pytest.approx(4.5 / 2, abs=0.1)
    assert float(columns.min()) < 8
    assert float(columns.max()) > 11


def test_pictures_stay_with_the_rules(tmp_path: Path) -> None:
    assert RULES.replace(instances=2).pictures == RULES.pictures
    RULES.keep(tmp_path)
    again = PLAIN.kept_in(tmp_path)
    assert again.sources() == RULES.sources()
    assert RULES.sources() != PLAIN.with_pictures(*reversed(RULES.pictures)).sources()
    episode, same = (rules.draw(generator(1), {"instances": 4}) for rules in (RULES, again))
    assert torch.equal(episode.inputs, same.inputs)
    path = tmp_path / PICTURES
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFile, match="is truncated or not a tensor file"):
        PLAIN.kept_in(tmp_path)


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(DataError, match=r"is drawn from pictures, and has none\. Give them by with_pictures"):
        PLAIN.draw(generator(0), {"instances": 4})
    with pytest.raises(DataError, match=r"2 held-out characters are too few for episodes of classes=3\. Give more"):
        PLAIN.with_pictures(drawn(3, 4), drawn(2, 4))
    with pytest.raises(
        DataError, match=r"there are 3 drawings of character00, and instances=4 of each class are shown"
    ):
        PLAIN.with_pictures(drawn(3, 3), drawn(3, 4))
    with pytest.raises(DataError, match=r"there are 4 drawings of character00, and instances=5"):
        RULES.replace(instances=5)
