"""What is no regular file, cannot be read, or has a name that makes trouble."""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile import honest
from hostile.case import GOOD, Case


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _link_to_fifo(path: Path) -> None:
    os.mkfifo(path.parent / "target")
    path.symlink_to("target")


def _chain(path: Path) -> None:
    os.mkfifo(path.parent / "end")
    (path.parent / "middle").symlink_to("end")
    path.symlink_to("middle")


def _loop(path: Path) -> None:
    path.symlink_to("other")
    (path.parent / "other").symlink_to(path.name)


def _sparse(path: Path) -> None:
    with path.open("wb") as out:
        out.truncate(5 << 30)


def _link_to_socket(path: Path) -> None:
    _socket(path.parent / "s")
    path.symlink_to("s")


PLACES: dict[str, Callable[[Path], None]] = {
    "fifo": _fifo,
    "socket": _socket,
    "link-to-fifo": _link_to_fifo,
    "link-to-link-to-fifo": _chain,
    "link-to-socket": _link_to_socket,
    "link-to-zero": _link("/dev/zero"),
    "link-to-random": _link("/dev/urandom"),
    "link-to-full": _link("/dev/full"),
    "link-to-null": _link("/dev/null"),
    "link-to-stdin": _link("/dev/stdin"),
    "link-to-proc": _link("/proc/self/status"),
    "link-to-memory": _link("/proc/self/mem"),
    "link-dangling": _link("nowhere"),
    "link-loop": _loop,
    "link-to-folder": _link("/tmp"),
    "directory": Path.mkdir,
    "empty": Path.touch,
    "sparse-5-GB": _sparse,
}
"""What lies where a file is expected."""
NAMES = (
    *("/dev/zero", "/dev/full", "/dev/null", "/dev/tty", "/dev/stdin", "/proc/self/mem", "/proc/kmsg", "/sys"),
    *(
        "nothing.pt",
        "../good.pt/x",
        "../good.pt/",
        "/",
        "~",
        "a\nb",
        "\x1b[31m",
        "\u202etp.x",
        "[red]x[/red]",
        "x" * 5000,
    ),
    *(":", "a:b:c", "torch:", ":x", "os:system", "a" * 300 + ".pt", "http://127.0.0.1:9/x.pt", "\udcff.pt"),
)
"""Names of nothing, given as they are."""


def cases() -> Iterator[Case]:
    for name, make in PLACES.items():
        for filename in ("x.pt", "x.safetensors"):
            yield Case("places", f"{name}-{filename}", _building(make, filename, data=False))
        for filename in ("x.npz", "x.csv"):
            yield Case("places-data", f"{name}-{filename}", _building(make, filename, data=True))
    for name in NAMES:
        shown = ascii(name)[:40]
        yield Case("names-of-nothing", shown, functools.partial(_as_they_are, [name]), own_worker=True)
        data = functools.partial(_as_they_are, [GOOD, f"--data={name}"])
        yield Case("names-of-nothing", f"data-{shown}", data, own_worker=True)
    for name in ("a\nb.pt", "\x1b[31m.pt", "\u202etp.x", "[red]x[red].pt", "<script>.pt", "'; touch marker; '.pt"):
        yield Case("file-names", ascii(name), _named(name), ("needs-architecture",))


def _as_they_are(arguments: list[str], _: Path) -> list[str]:
    return arguments


def _building(make: Callable[[Path], None], filename: str, *, data: bool) -> Callable[[Path], list[str]]:
    def build(folder: Path) -> list[str]:
        make(folder / filename)
        return [GOOD, "--data", filename] if data else [filename]

    return build


def _named(name: str) -> Callable[[Path], list[str]]:
    def build(folder: Path) -> list[str]:
        (folder / name).write_bytes(honest.state_dict())
        return [name]

    return build
