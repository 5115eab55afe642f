"""Ctrl-C and SIGTERM as one exception, so that every `finally` on the way out runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from gradcheck_cli.errors import ExitStatus, GradcheckError


class Stopped(BaseException):
    """Someone wants us to end; no `except Exception` on the way may keep it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.told = _StopError(number)


class _StopError(GradcheckError):
    def __init__(self, number: int) -> None:
        slug = "interrupted" if number == signal.SIGINT else "terminated"
        super().__init__(slug, f"{slug} before the end", hint="nothing was written")
        self.status = ExitStatus.INTERRUPTED if number == signal.SIGINT else ExitStatus.TERMINATED


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` where a signal asks us to end; a second one does not disturb the first."""
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)
