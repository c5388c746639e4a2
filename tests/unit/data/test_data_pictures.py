"""Drawings: read from zip files and folders, shrunk, kept in one file, and refused in one sentence each."""

import sys
import zipfile
from pathlib import Path

import pytest
import torch
from tests.drawings import drawn, patterns, png, write_zip

from everlong.data.synthetic.pictures import Pictures, load_pictures, read_pictures, save_pictures, shrink
from everlong.errors import ConfigError, DamagedFile, DataError
from everlong.storage import write_tensors


def test_a_zip_file_and_a_folder_of_the_same_drawings_are_alike(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "small.zip", 3, 4, seed=1)
    found = read_pictures([path])
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "small" / "Blocks" / "character01" / "._0001_01.png").write_bytes(b"not a drawing")
    (tmp_path / "small" / "read me.txt").write_bytes(b"nor this")
    same = read_pictures([tmp_path / "small"])
    assert found.names == same.names == tuple(f"small/Blocks/character0{n}" for n in (1, 2, 3))
    assert found.counts.tolist() == [4, 4, 4]
    # Five times as large and shrunk again: what it was.
    assert torch.equal(found.drawings, patterns(3, 4, seed=1).flatten(0, 1))
    assert found.digest == same.digest != read_pictures([write_zip(tmp_path / "x.zip", 3, 4, seed=2)]).digest


def test_several_files_are_several_sets_of_characters(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [write_zip(tmp_path / name / "small.zip", 2, 3, seed=n) for n, name in enumerate("ab")]
    both = read_pictures(paths)
    assert both.counts.tolist() == [3, 3, 3, 3]
    assert torch.equal(both.between(2, 4).drawings, read_pictures(paths[1:]).drawings)
    assert torch.equal(both.between(0, 2).drawings, read_pictures(paths[:1]).drawings)


def test_ink_is_what_is_dark_and_is_averaged_over_areas() -> None:
    ink = torch.zeros(40, 40, dtype=torch.uint8)
    ink[0, 0] = ink[10:12, 20:22] = ink[39, 38:] = 255
    small = shrink(png(ink, scale=1), "here")
    expected = torch.zeros(20, 20)
    expected[0, 0], expected[5, 10], expected[19, 19] = 255 / 4, 255, 255 / 2
    torch.testing.assert_close(small.float(), expected, atol=1.0, rtol=0)


def test_characters_may_have_different_numbers_of_drawings() -> None:
    drawings = torch.arange(6, dtype=torch.uint8)[:, None, None].expand(6, 20, 20)
    found = Pictures(names=("a", "b", "c"), counts=torch.tensor([2, 1, 3]), drawings=drawings)
    assert [found.of(n)[:, 0, 0].tolist() for n in range(3)] == [[0, 1], [2], [3, 4, 5]]
    assert found.fewest == 1
    part = found.between(1, 3)
    assert (part.names, part.of(0)[:, 0, 0].tolist(), part.of(1)[:, 0, 0].tolist()) == (("b", "c"), [2], [3, 4, 5])


def test_drawings_come_back_from_their_file(tmp_path: Path) -> None:
    some, others = drawn(3, 2, seed=1), drawn(2, 2, seed=2)
    path = tmp_path / "pictures.safetensors"
    save_pictures(path, trained=some, held_out=others)
    found = load_pictures(path, "held_out", "trained")
    assert [pictures.digest for pictures in found] == [others.digest, some.digest]
    assert found[1].names == some.names
    with pytest.raises(DamagedFile, match=r"does not hold drawings for trained and more\. Use another copy"):
        load_pictures(path, "trained", "more")
    write_tensors(path, {"x": torch.zeros(1)}, {})
    with pytest.raises(DamagedFile, match="does not hold drawings for trained"):
        load_pictures(path, "trained")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    text, empty, folder = tmp_path / "a.zip", tmp_path / "empty.zip", tmp_path / "folder"
    text.write_text("no zip file")
    zipfile.ZipFile(empty, "w").close()
    folder.mkdir()
    with pytest.raises(DataError, match=r"a\.zip is not a zip file, or is damaged\. Give a zip file or a folder"):
        read_pictures([text])
    missing = r"cannot read .*b\.zip: No such file or directory\. Give a zip file or a folder of drawings"
    with pytest.raises(DataError, match=missing):
        read_pictures([tmp_path / "b.zip"])
    for path in (empty, folder):
        with pytest.raises(DataError, match=rf"{path.name} holds no PNG files\. Give a zip file or a folder"):
            read_pictures([path])


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    whole = png(patterns(1, 1, seed=0)[0, 0])
    path = tmp_path / "small.zip"
    for data in (b"no picture", whole[:60]):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("s/a/1.png", whole)
            archive.writestr("s/a/2.png", data)
        with pytest.raises(
            DataError, match=r"s/a/2\.png in .*small\.zip is no PNG picture, or is damaged\. Take it out"
        ):
            read_pictures([path])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("s/a/1.png", whole)
    bytes_ = bytearray(path.read_bytes())
    bytes_[60] ^= 1
    path.write_bytes(bytes_)
    with pytest.raises(DataError, match=r"s/a/1\.png in .*small\.zip cannot be unpacked .*Use another copy of it"):
        read_pictures([path])


def test_pillow_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"needs Pillow, which is not installed\. Run pip install \"everlong\[pict"):
        shrink(b"", "here")
