"""Strict reading of zip archives as torch writes them: unique, stored, CRC-checked members that do not overlap.

torch itself checks no CRC, inflates without limit and reads the first of duplicate members where Python reads the
last; so an archive passes only if there is one way to read it.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass

from gradcheck_cli.loaders.refusals import Slug, printable, refuse

MAX_MEMBERS = 100_000
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1
_AGAIN = "copy or save the file again"


@dataclass(frozen=True)
class Archive:
    """The checked members of a zip archive with one root folder."""

    path: str
    root: str
    members: dict[str, memoryview]
    """Name below the root → bytes, views into the file's data."""

    def text(self, name: str) -> str | None:
        """A small member as text; None where it is absent or no UTF-8."""
        try:
            return bytes(self.members[name][:256]).decode().strip()
        except (KeyError, UnicodeDecodeError):
            return None


def read_archive(data: bytes, path: str) -> Archive:
    """Checks the zip archive `data` and gives its members without copying them.

    Raises:
        ModelError: `truncated-file` without a readable directory at the end, `damaged-file` for a CRC or header that
            does not fit, `unsafe-archive` for compressed, encrypted, duplicate, overlapping or badly named members.
    """
    infos = _directory(data, path)
    if len(infos) > MAX_MEMBERS:
        raise _unsafe(path, f"the archive has over {MAX_MEMBERS} members")
    members: dict[str, memoryview] = {}
    roots = set()
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        root, _, name = _checked_name(info, path).partition("/")
        if name in members:
            raise _unsafe(path, f"the archive has the member {printable(info.filename)} twice")
        payload, end = _payload(data, info, end, path)
        members[name] = payload
        roots.add(root)
    if len(roots) != 1:
        raise _unsafe(path, "the archive's members do not share one folder, as torch writes them")
    return Archive(path, roots.pop(), members)


def _directory(data: bytes, path: str) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos, comment = archive.infolist(), archive.comment
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, EOFError, OSError) as error:
        raise refuse(Slug.TRUNCATED_FILE, path, "the file ends too early: its directory is missing", _AGAIN) from error
    if comment:
        raise _unsafe(path, "the archive has a comment, which torch never writes")
    if not infos:
        raise refuse(Slug.NOT_A_MODEL, path, "the file is an empty zip archive", "save the model again")
    return infos


def _checked_name(info: zipfile.ZipInfo, path: str) -> str:
    name = info.filename
    parts = name.split("/")
    if name != info.orig_filename or "\\" in name or len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise _unsafe(path, f"the archive has a member with the unsafe name {printable(info.orig_filename)}")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise _unsafe(path, f"the archive's member {printable(name)} is compressed, which torch never does")
    if info.flag_bits & _ENCRYPTED:
        raise _unsafe(path, f"the archive's member {printable(name)} is encrypted")
    return name


def _payload(data: bytes, info: zipfile.ZipInfo, previous_end: int, path: str) -> tuple[memoryview, int]:
    """The member's bytes and where they end; it must begin after `previous_end`, the first one at 0."""
    start = info.header_offset
    header = data[start : start + _LOCAL_HEADER]
    shown = printable(info.filename)
    if start < previous_end or (previous_end == 0 and start != 0):
        raise _unsafe(path, f"the archive's member {shown} overlaps another one or hides bytes before it")
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise refuse(Slug.DAMAGED_FILE, path, f"the header of the archive's member {shown} is broken", _AGAIN)
    method, name_length, extra_length = struct.unpack_from("<8xH16xHH", header)
    name = data[start + _LOCAL_HEADER : start + _LOCAL_HEADER + name_length]
    begin = start + _LOCAL_HEADER + name_length + extra_length
    stop = begin + info.file_size
    if name != info.filename.encode() or method != zipfile.ZIP_STORED or stop > len(data):
        raise refuse(Slug.DAMAGED_FILE, path, f"the header of the archive's member {shown} is broken", _AGAIN)
    payload = memoryview(data)[begin:stop]
    if zlib.crc32(payload) != info.CRC:
        raise refuse(
            Slug.DAMAGED_FILE, path, f"the checksum of the archive's member {shown} does not fit its bytes", _AGAIN
        )
    return payload, stop


def _unsafe(path: str, message: str) -> Exception:
    return refuse(Slug.UNSAFE_ARCHIVE, path, message, "load it with torch and save it again, if you trust it")
