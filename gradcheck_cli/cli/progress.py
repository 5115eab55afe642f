"""What is seen while the worker works: on a terminal a bar that vanishes again, and the lines that the model prints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gradcheck_cli.cli.output import say
from gradcheck_cli.text import inert, plain
from gradcheck_cli.worker.supervise import Listener


@contextmanager
def shown(*, quiet: bool) -> Iterator[Listener]:
    """Give the listener for one measurement; only a terminal gets a bar, and `quiet` none."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield Listener(progress=_unseen, line=_relay)
    else:
        yield from _bar()


def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(
                task, description=escape(plain(stage[:40])), completed=max(done, 0), total=total if total > 0 else None
            )

        def line(text: str) -> None:
            console.print(_shown(text), markup=False, highlight=False, emoji=False, soft_wrap=True)

        yield Listener(progress=progress, line=line)


def _relay(text: str) -> None:
    say(_shown(text))


def _shown(text: str) -> str:
    return inert(text.expandtabs())


def _unseen(stage: str, done: int, total: int) -> None:
    """Nobody looks."""
