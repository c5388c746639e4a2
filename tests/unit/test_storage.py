"""Files that are whole or absent, and that notice a changed byte."""

import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from everlong.errors import DamagedFile, RunError
from everlong.storage import disk_errors, read_bytes, read_tensors, require_place, seal, write_tensors, write_whole

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([True, False]), "c": torch.zeros(0, 4)}


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", TENSORS, {"format": "试"})
    tensors, header = read_tensors(tmp_path / "x")
    assert header == {"format": "试"}
    assert tensors.keys() == TENSORS.keys()
    assert all(
        torch.equal(tensors[name], TENSORS[name]) and tensors[name].dtype == TENSORS[name].dtype for name in TENSORS
    )
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_views_and_gradients_are_written_as_they_are(tmp_path: Path) -> None:
    square = torch.randn(3, 3, requires_grad=True)
    write_tensors(tmp_path / "x", {"t": square.t()}, {})
    assert torch.equal(read_tensors(tmp_path / "x")[0]["t"], square.detach().t())


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_tensors(path, TENSORS, {"format": "one", "weights": "abc"})
    data = path.read_bytes()
    for at in range(8, len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DamagedFile, match=r"is damaged|truncated or not a tensor file|has no seal"):
            read_tensors(path)


def test_each_kind_of_damage_has_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_tensors(path, TENSORS, {})
    data = path.read_bytes()
    path.write_bytes(data[:-4])
    with pytest.raises(DamagedFile, match=r"x is truncated or not a tensor file \(.*\)\. Use another copy of it"):
        read_tensors(path)
    path.write_bytes(b"")
    with pytest.raises(DamagedFile, match="x is truncated or not a tensor file"):
        read_tensors(path)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(
        DamagedFile, match=r"x is damaged: its contents do not match their checksum. Use another copy of it"
    ):
        read_tensors(path)
    save_file(TENSORS, path)
    with pytest.raises(
        DamagedFile, match=r"x has no seal, so Everlong did not write it. Give a file that Everlong saved"
    ):
        read_tensors(path)
    with pytest.raises(DamagedFile, match=r"cannot read .*gone: No such file or directory. Check the path"):
        read_tensors(tmp_path / "gone")
    with pytest.raises(DamagedFile, match=r"cannot read .*: Is a directory. Check the path"):
        read_bytes(tmp_path)


def test_the_seal_depends_on_names_types_shapes_and_bytes() -> None:
    zeros = torch.zeros(4)
    seals = {
        seal({"a": zeros}, {}),
        seal({"b": zeros}, {}),
        seal({"a": zeros.view(2, 2)}, {}),
        seal({"a": zeros.to(torch.int32)}, {}),
        seal({"a": torch.tensor([0.0, 0, 0, -0.0])}, {}),
        seal({"a": zeros}, {"x": "y"}),
        seal({"a": zeros}, {"x": "z"}),
    }
    assert len(seals) == 7
    assert seal({"a": zeros, "b": zeros}, {}) == seal({"b": zeros, "a": zeros}, {})


def test_write_whole_replaces_or_leaves_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        RunError, match=r"the disk is full: .*x was not written and existing files are as they were\. Free some"
    ):
        write_whole(path, b"newer")
    assert path.read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"cannot write .*nowhere/x: No such file or directory. Choose a place you may write to"
    ):
        write_whole(tmp_path / "nowhere" / "x", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"cannot write .*: Not a directory"):
        write_whole(tmp_path / "file" / "x", b"")
    with pytest.raises(RunError, match=r"cannot write .*: Is a directory"):
        write_whole(tmp_path, b"")


def test_a_place_is_refused_before_anything_is_written_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(RunError, match=r"cannot write .*nowhere/x: No such file or directory\. Choose a place"):
        require_place(tmp_path / "nowhere" / "x")
    with pytest.raises(RunError, match=r"cannot write .*file/x: Not a directory\. Choose a place"):
        require_place(tmp_path / "file" / "x")
    for folder in (tmp_path, Path()):
        with pytest.raises(RunError, match=r"cannot write .*: Is a directory\. Give the name of a file"):
            require_place(folder)
        with pytest.raises(RunError, match="Is a directory"):
            write_whole(folder, b"")
    require_place(tmp_path / "file")
    require_place(tmp_path / "new")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(RunError, match=r"cannot write .*new: Permission denied\. Choose a place you may write to"):
        require_place(tmp_path / "new")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def fail(path: Path, code: int) -> None:
    with disk_errors(path):
        raise OSError(code, "said the disk")


def test_other_errors_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="said the disk") as caught:
        fail(tmp_path, errno.EIO)
    assert not isinstance(caught.value, RunError)
    for code in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(RunError, match="the disk is full"):
            fail(tmp_path, code)
    for code in (errno.EACCES, errno.EPERM, errno.EROFS):
        with pytest.raises(RunError, match=r"cannot write .*: said the disk"):
            fail(tmp_path, code)
