"""Checks a zip archive before anything is read from it: unique plain members, under caps, checksums right."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from gradcheck_cli.errors import SampleError

if TYPE_CHECKING:
    from gradcheck_cli.sample.files import DataFile

MAX_MEMBERS = 50_000
MAX_BYTES = 4 << 30
"""Of all compressed members together, expanded: deflate lets a small file grow a thousandfold."""
MAX_SUMMED = 1 << 30
"""Bytes of one member up to which its checksum is worth reading it: a few seconds."""
_CHUNK = 1 << 20


def check_archive(archive: zipfile.ZipFile, path: str, *, stored: bool) -> None:
    """Refuse an archive that numpy or torch would not have written.

    Libraries differ in which of two members of one name they read, so names must be unique. `stored`: only members
    that are not compressed, whose checksums, up to `MAX_SUMMED`, are then verified here.

    Raises:
        SampleError: ``broken-data``.
    """
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise _broken(path, f"the archive has {len(members)} members, over the limit of {MAX_MEMBERS}")
    if len({member.filename for member in members}) < len(members):
        raise _broken(path, "the archive has two members of one name")
    total = sum(member.file_size for member in members if member.compress_type != zipfile.ZIP_STORED)
    if total > MAX_BYTES:
        raise _broken(path, f"the archive would expand to {total} bytes, over the limit of {MAX_BYTES}")
    allowed = (zipfile.ZIP_STORED,) if stored else (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if any(member.flag_bits & 1 or member.compress_type not in allowed for member in members):
        raise _broken(path, "the archive is encrypted, or packed as this format never is")
    if stored:
        _check_sums(archive, path)


def _check_sums(archive: zipfile.ZipFile, path: str) -> None:
    for member in archive.infolist():
        if member.file_size > MAX_SUMMED:
            continue
        try:
            with archive.open(member) as stream:
                while stream.read(_CHUNK):
                    pass
        except Exception as error:  # zipfile raises many kinds on garbage; all mean the same
            raise _broken(path, f"the archive's member {member.filename} is damaged") from error


def _broken(path: str, message: str) -> SampleError:
    return SampleError("broken-data", message, hint="write the file again", file=path)


def zip_names(file: DataFile) -> list[str]:
    """Return the names of the members if `file` is a zip archive, else nothing."""
    if not file.head.startswith(b"PK"):
        return []
    try:
        file.stream.seek(0)
        with zipfile.ZipFile(file.stream) as archive:
            return archive.namelist()
    except Exception as error:  # zipfile raises many kinds on garbage; all mean the same
        raise SampleError(
            "broken-data", "the zip archive is damaged or cut short", hint="write the file again", file=file.path
        ) from error
