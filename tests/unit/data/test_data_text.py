import gzip
import lzma
import os
import re
import socket
import sys
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import Document, read_documents, source
from everlong.data.utf8 import decode
from everlong.errors import ConfigError, DataError

PACK = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}
TALE = "Once, in 1894…\r\nthe 龍 slept 😀\n\n\tEnd"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(*paths: str | Path, separator: str | None = None) -> list[str]:
    return [document.text for document in read_documents(paths, separator=separator)]


def fails(path: Path, wording: str, *, separator: str | None = None) -> None:
    with pytest.raises(DataError, match=wording):
        texts(path, separator=separator)


@pytest.mark.parametrize("suffix", ["", *PACK])
def test_a_file_is_one_document_and_keeps_every_character(tmp_path: Path, suffix: str) -> None:
    data = TALE.encode()
    path = write(tmp_path / f"tale.txt{suffix}", PACK[suffix](data) if suffix else data)
    (document,) = read_documents([path])
    assert document.name == str(path)
    assert document.text == TALE
    assert document.text == TALE, "the pieces can be read twice"


def test_one_path_needs_no_list(tmp_path: Path) -> None:
    path = write(tmp_path / "tale.txt", TALE)
    assert [document.text for document in read_documents(path)] == [TALE]
    assert [document.text for document in read_documents(str(path))] == [TALE]


def test_a_string_is_one_piece_not_its_characters() -> None:
    assert list(Document("tale", "abc").pieces) == ["abc"]
    assert Document("tale", ["ab", "c"]).text == "abc"


@pytest.mark.parametrize("suffix", PACK)
def test_several_compressed_streams_in_a_row_are_one_text(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"tale.txt{suffix}", PACK[suffix](b"one ") + PACK[suffix](b"two"))
    assert texts(path) == ["one two"]


@pytest.mark.parametrize("block", [1, 2, 3, 7])
@pytest.mark.parametrize("name", ["tale.txt", "tale.txt.gz"])
def test_characters_survive_any_block_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, name: str
) -> None:
    monkeypatch.setattr(source, "BLOCK", block)
    data = b"\xef\xbb\xbf" + TALE.encode()
    path = write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    (document,) = read_documents([path])
    assert "".join(document.pieces) == TALE
    assert texts(path, separator="") == [TALE.split("\n\n")[0] + "\n", "\tEnd"]


def test_a_byte_order_mark_is_dropped_at_the_beginning_only(tmp_path: Path) -> None:
    mark = "\ufeff"
    assert texts(write(tmp_path / "a.txt", f"{mark}a{mark}b")) == [f"a{mark}b"]
    assert texts(write(tmp_path / "b.txt", f"{mark}a\n--\n{mark}b"), separator="--") == ["a\n", f"{mark}b"]
    assert texts(write(tmp_path / "c.txt", f"{mark}--\nb"), separator="--") == ["b"]
    assert texts(write(tmp_path / "d.jsonl", mark + '{"text": "a"}')) == ["a"]


def test_folders_are_read_in_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "b")
    write(tmp_path / "a" / "z.md", "z")
    write(tmp_path / "a" / "y.txt.gz", gzip.compress(b"y"))
    write(tmp_path / "a" / "empty.txt", "")
    write(tmp_path / "picture.png", b"\0")
    write(tmp_path / ".hidden.txt", "hidden")
    write(tmp_path / ".git" / "c.txt", "hidden")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert texts(tmp_path) == ["y", "z", "b"]
    assert texts(tmp_path / "b.txt", tmp_path / "a") == ["b", "y", "z"]


def test_a_named_file_is_read_whatever_its_suffix(tmp_path: Path) -> None:
    assert texts(write(tmp_path / ".notes.xyz", "n")) == ["n"]


def test_lines_equal_to_the_separator_split_documents(tmp_path: Path) -> None:
    path = write(tmp_path / "all.txt", "--\none\r\n --\n--\r\n--\ntwo\n--x\n--")
    documents = list(read_documents(path, separator="--"))
    assert [document.text for document in documents] == ["one\r\n --\n", "two\n--x\n"]
    assert [document.name for document in documents] == [f"{path}:2", f"{path}:6"]


@given(st.lists(st.text(st.sampled_from("a-\n龍\r"), max_size=6), max_size=6))
def test_separated_documents_are_what_splitting_the_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    text = "\n==\n".join(parts)
    wanted = re.split(r"(?m)^==\n", text)
    path = write(tmp_path_factory.getbasetemp() / "separated.txt", text)
    if any(wanted):
        assert texts(path, separator="==") == [part for part in wanted if part]
    else:
        fails(path, "is empty", separator="==")


def test_json_lines_give_the_field_text(tmp_path: Path) -> None:
    lines = '{"text": "one\\n", "id": 3}\n\n{"text": ""}\n{"text": "龍 \\ud83d\\ude00 \\u0000"}'
    path = write(tmp_path / "all.jsonl.xz", lzma.compress(lines.encode()))
    documents = list(read_documents(path, separator="--"))
    assert [document.text for document in documents] == ["one\n", "龍 😀 \0"]
    assert [document.name for document in documents] == [f"{path}:1", f"{path}:4"]


def test_a_large_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(24):
            file.write("龍 slept. ".encode() * 87_000)
    tracemalloc.start()
    characters = sum(len(piece) for document in read_documents(path) for piece in document.pieces)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert characters == 24 * 87_000 * 9
    assert peak < 12 << 20


def test_paths_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file or folder .*nowhere\.txt\. Check the path"):
        read_documents(tmp_path / "nowhere.txt")
    with pytest.raises(DataError, match=r"no text files in the folder .*\.jsonl .*named one by one"):
        read_documents(tmp_path)
    with pytest.raises(DataError, match="no text was given"):
        read_documents([])
    with pytest.raises(ConfigError, match=r"separator 'a\\nb' spans more than one line"):
        read_documents(tmp_path, separator="a\nb")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe is neither a file nor a folder\. Save its text to a file first"):
        read_documents(tmp_path / "pipe")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "socket.txt"
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.txt")
        with pytest.raises(DataError, match=r"cannot read .*socket\.txt: .*Check the path and its permissions"):
            list(source.read_blocks(path))


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"cannot read .*: Permission denied\. Check its permissions"):
        read_documents(tmp_path)


@pytest.mark.parametrize("name", ["e.txt", "e.jsonl", "e.txt.gz", "e.txt.xz", "e.txt.zst"])
@pytest.mark.parametrize("separator", [None, "--"])
def test_an_empty_file_is_named(tmp_path: Path, name: str, separator: str | None) -> None:
    pack = PACK.get(Path(name).suffix, bytes)
    fails(write(tmp_path / name, pack(b"")), rf"{name} is empty: there is no text", separator=separator)


def test_a_mark_alone_and_a_folder_of_empty_files_are_empty(tmp_path: Path) -> None:
    fails(write(tmp_path / "mark" / "m.txt", b"\xef\xbb\xbf"), r"m\.txt is empty")
    fails(tmp_path / "mark", "mark is empty")


@pytest.mark.parametrize("separator", [None, "--"])
def test_a_binary_file_is_named(tmp_path: Path, separator: str | None) -> None:
    fails(
        write(tmp_path / "b.txt", b"ab\0c"),
        r"b\.txt is a binary file: byte 2 is zero.*plain UTF-8",
        separator=separator,
    )
    packed = write(tmp_path / "b.txt.gz", gzip.compress(b"ab\0c"))
    fails(packed, "byte 2 of the decompressed text is zero", separator=separator)


def test_utf16_is_recognised(tmp_path: Path) -> None:
    fails(write(tmp_path / "u.txt", "text".encode("utf-16")), r"u\.txt is UTF-16, not UTF-8.*iconv -f UTF-16 -t UTF-8")


@pytest.mark.parametrize("separator", [None, "--"])
def test_invalid_utf8_is_named_with_its_place(tmp_path: Path, separator: str | None) -> None:
    begin = "龍\n--\nx\n".encode()
    path = write(tmp_path / "latin.txt", begin + "caf\xe9 au lait".encode("latin-1"))
    wording = rf"latin\.txt is not valid UTF-8 at byte {len(begin) + 3}, line 4 \(.*iconv -f GB18030 -t UTF-8"
    fails(path, wording, separator=separator)


def test_text_cut_inside_a_character_is_named(tmp_path: Path) -> None:
    fails(write(tmp_path / "cut.txt", "ab\n龍".encode()[:-1]), r"byte 3, line 2 \(unexpected end of data\)")


def test_the_place_is_right_behind_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 5)
    data = "龍龍\n".encode() * 20 + b"\xff"
    fails(write(tmp_path / "late.txt", data), "at byte 140, line 21 ")


def test_invalid_utf8_in_json_lines_is_named_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n')
    fails(path, r"a\.jsonl is not valid UTF-8 at byte 24, line 2 ")


@pytest.mark.parametrize("suffix", PACK)
def test_a_damaged_or_cut_compressed_file_is_named(tmp_path: Path, suffix: str) -> None:
    data = PACK[suffix](os.urandom(3000).hex().encode())
    fails(
        write(tmp_path / f"cut.txt{suffix}", data[:-20]), rf"cut\.txt{suffix} is damaged or cut short \(.*another copy"
    )
    fails(write(tmp_path / f"not.txt{suffix}", b"plain text"), rf"not\.txt{suffix} is damaged or cut short")
    middle = len(data) // 2
    if suffix != ".zst":  # the command line tool writes a checksum, this library's default does not
        flipped = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
        fails(write(tmp_path / f"flipped.txt{suffix}", flipped), "damaged or cut short|not valid UTF-8|binary")


def test_zstd_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    fails(write(tmp_path / "a.txt.zst", b"x"), r'pip install "everlong\[zstd\]"')


@pytest.mark.parametrize(
    ("line", "wording"),
    [
        ("{'text': 1}", r"a\.jsonl:2 is not JSON \(.*one object such as"),
        ("[" * 100_000, r"a\.jsonl:2 is not JSON"),
        ('["text"]', r"a\.jsonl:2 is not a JSON object"),
        ('{"txt": "a"}', r'a\.jsonl:2 has no string "text"'),
        ('{"text": 3}', r'a\.jsonl:2 has no string "text"'),
        ('{"text": "a\\ud83d"}', r"a\.jsonl:2 has half a character \(a lone surrogate, character 1"),
    ],
)
def test_a_json_line_without_text_is_named(tmp_path: Path, line: str, wording: str) -> None:
    fails(write(tmp_path / "a.jsonl", '{"text": "fine"}\n' + line), wording)


@given(st.text(), st.data())
def test_decoding_in_parts_is_decoding_the_whole(text: str, data: st.DataObject) -> None:
    text = text.replace("\0", "").removeprefix("\ufeff")
    whole = text.encode()
    cut = data.draw(st.integers(0, len(whole)))
    first, used = decode(whole[:cut], Path("t"), offset=9, line=1, final=False)
    second, _ = decode(whole[used:], Path("t"), offset=9 + used, line=1, final=True)
    assert first + second == text
