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
from typing import BinaryIO

from gradcheck_cli.loaders.refusals import Slug, printable, refuse
from gradcheck_cli.loaders.source import CHUNK, Memory, Reader, Source

MAX_MEMBERS = 100_000
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1
_AGAIN = "copy or save the file again"


@dataclass(frozen=True)
class Region:
    """A piece of a file: a member of an archive, a storage, a tensor."""

    reader: Reader
    begin: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __bytes__(self) -> bytes:
        return self.reader.read(self.begin, self.size)


@dataclass(frozen=True)
class Archive:
    """The checked members of a zip archive with one root folder."""

    path: str
    root: str
    members: dict[str, Region]
    """Name below the root → where its bytes are."""

    def text(self, name: str) -> str | None:
        """A small member as text; None where it is absent or no UTF-8."""
        member = self.members.get(name)
        if member is None:
            return None
        try:
            return member.reader.read(member.begin, min(member.size, 256)).decode().strip()
        except UnicodeDecodeError:
            return None


def read_archive(data: bytes | Source, path: str) -> Archive:
    """Checks the zip archive `data`, in memory or a file, and finds its members without keeping their bytes.

    Raises:
        ModelError: `truncated-file` without a readable directory at the end, `damaged-file` for a CRC or header that
            does not fit, `unsafe-archive` for compressed, encrypted, duplicate, overlapping or badly named members.
    """
    reader: Reader = Memory(data, path) if isinstance(data, bytes) else data
    infos = _directory(io.BytesIO(data) if isinstance(data, bytes) else data.stream, path)
    if len(infos) > MAX_MEMBERS:
        raise _unsafe(path, f"the archive has over {MAX_MEMBERS} members")
    members: dict[str, Region] = {}
    roots = set()
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        root, _, name = _checked_name(info, path).partition("/")
        if name in members:
            raise _unsafe(path, f"the archive has the member {printable(info.filename)} twice")
        payload, end = _payload(reader, info, end, path)
        members[name] = payload
        roots.add(root)
    if len(roots) != 1:
        raise _unsafe(path, "the archive's members do not share one folder, as torch writes them")
    return Archive(path, roots.pop(), members)


def _directory(stream: BinaryIO, path: str) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(stream) as archive:
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


def _payload(reader: Reader, info: zipfile.ZipInfo, previous_end: int, path: str) -> tuple[Region, int]:
    """The member's bytes and where they end; it must begin after `previous_end`, the first one at 0."""
    start = info.header_offset
    header = reader.read(start, min(_LOCAL_HEADER, max(reader.size - start, 0)))
    shown = printable(info.filename)
    if start < previous_end or (previous_end == 0 and start != 0):
        raise _unsafe(path, f"the archive's member {shown} overlaps another one or hides bytes before it")
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise refuse(Slug.DAMAGED_FILE, path, f"the header of the archive's member {shown} is broken", _AGAIN)
    method, name_length, extra_length = struct.unpack_from("<8xH16xHH", header)
    name_begin = start + _LOCAL_HEADER
    name = reader.read(name_begin, min(name_length, reader.size - name_begin))
    begin = start + _LOCAL_HEADER + name_length + extra_length
    stop = begin + info.file_size
    if name != info.filename.encode() or method != zipfile.ZIP_STORED or stop > reader.size:
        raise refuse(Slug.DAMAGED_FILE, path, f"the header of the archive's member {shown} is broken", _AGAIN)
    if _checksum(reader, begin, stop) != info.CRC:
        raise refuse(
            Slug.DAMAGED_FILE, path, f"the checksum of the archive's member {shown} does not fit its bytes", _AGAIN
        )
    return Region(reader, begin, info.file_size), stop


def _checksum(reader: Reader, begin: int, stop: int) -> int:
    checksum = 0
    for position in range(begin, stop, CHUNK):
        checksum = zlib.crc32(reader.read(position, min(CHUNK, stop - position)), checksum)
    return checksum


def _unsafe(path: str, message: str) -> Exception:
    return refuse(Slug.UNSAFE_ARCHIVE, path, message, "load it with torch and save it again, if you trust it")
