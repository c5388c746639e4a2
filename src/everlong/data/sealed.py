"""Small JSON files that say what they are and notice when a byte has changed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from everlong.errors import DamagedFile
from everlong.storage import read_bytes, write_whole

FORMAT = 1


def digest(fields: Mapping[str, object]) -> str:
    """SHA-256 of the fields as canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_sealed(path: Path, fields: Mapping[str, object]) -> None:
    """Write the fields with their format and seal; the old file stays until the new one is whole.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    sealed = {"format": FORMAT, **fields, "sha256": digest(fields)}
    write_whole(path, json.dumps(sealed, ensure_ascii=False, indent=1).encode() + b"\n")


def read_sealed(path: Path) -> dict[str, object]:
    """The fields of a sealed file, without format and seal.

    Raises:
        DamagedFile: the file is missing, not JSON, of a newer format, or altered.
    """
    data = read_bytes(path)
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is not JSON ({error}). Use another copy of it.") from error
    if not isinstance(found, dict) or "sha256" not in found or "format" not in found:
        raise DamagedFile(
            f"{path} has no format and seal: it is damaged, or not Everlong's. Give a file that Everlong saved."
        )
    fields = cast("dict[str, object]", found)
    if (format_ := fields.pop("format")) != FORMAT:
        raise DamagedFile(
            f"{path} has format {format_!r}; this version reads format {FORMAT}. Use the version that wrote it."
        )
    if fields.pop("sha256") != digest(fields):
        raise DamagedFile(f"{path} is damaged: its contents do not match their checksum. Use another copy of it.")
    return fields
