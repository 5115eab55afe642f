"""What becomes of a result: it is written as the options ask, and decides on the exit status."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from gradcheck_cli.cli import output, outputs
from gradcheck_cli.cli.options import Options
from gradcheck_cli.cli.outputs import Destination
from gradcheck_cli.compare import Comparison, compare
from gradcheck_cli.errors import ExitStatus, NotCompleted
from gradcheck_cli.records import Diagnosis, Verdict

if TYPE_CHECKING:
    from rich.console import Console

TELLING = ("text", "markdown", "github")
"""Formats in which the comparison with the baseline stands beside the report, or in its place."""
AGAINST = ("json", "junit", "sarif", "csv", "html")
"""Formats whose renderer tells the comparison within the report."""
NAMING = (*TELLING, "junit")
"""Formats that name what got worse at first sight."""


class NothingMeasured(NotCompleted):
    """The report is written, but it says nothing about any layer: that must not pass for healthy."""

    def __init__(self, model: str) -> None:
        super().__init__("nothing-measured", "no layer could be measured", hint="the report says why", file=model)


class Showing:
    """Where the report will go and what it will be compared with, found out before anything is measured."""

    def __init__(self, options: Options) -> None:
        """Raise what is wrong with the destinations, or with the baseline."""
        from gradcheck_cli import store

        self._options = options
        self._chosen = outputs.destinations(options)
        self._baseline = store.read(options.baseline) if options.baseline is not None else None
        if options.tensorboard is not None:
            from gradcheck_cli.render import tensorboard

            tensorboard.check_installed()

    def show(self, diagnosis: Diagnosis) -> int:
        """Write the report and return the exit status."""
        comparison = compare(self._baseline, diagnosis) if self._baseline is not None else None
        outputs.write(self._chosen, lambda to: self._report(diagnosis, comparison, to), self._events(diagnosis))
        if diagnosis.verdict is Verdict.NOT_MEASURED:
            raise NothingMeasured(diagnosis.model.path)
        if comparison is not None:
            told = any(to.path is None and to.format in NAMING for to in self._chosen)
            return _status(comparison, self._options, told=told)
        seen = {diagnosis.verdict, *(layer.verdict for layer in diagnosis.layers)}
        return ExitStatus.ILL if seen & _failing(self._options) else ExitStatus.OK

    def _events(self, diagnosis: Diagnosis) -> dict[Path, bytes]:
        if self._options.tensorboard is None:
            return {}
        from gradcheck_cli.render import tensorboard

        folder = Path(self._options.tensorboard)
        return {folder / name: data for name, data in tensorboard.render(diagnosis).items()}

    def _report(self, diagnosis: Diagnosis, comparison: Comparison | None, to: Destination) -> str:
        from gradcheck_cli.render.interface import renderer

        if comparison is None or to.format not in (*TELLING, *AGAINST):
            return _text(diagnosis, to, self._options) if to.format == "text" else renderer(to.format).render(diagnosis)
        if to.format in AGAINST:
            return cast(ComparingRenderer, renderer(to.format)).render(diagnosis, self._baseline)
        told = _comparison(comparison, to, self._options)
        if to.format == "github":
            return told  # an annotation for what was ill before would be noise
        if to.format == "markdown":
            return f"{told}\n{renderer(to.format).render(diagnosis)}"
        return f"{_text(diagnosis, to, self._options)}\n{told}"


class ComparingRenderer(Protocol):
    """A format that tells within the report what became of it since a baseline."""

    def render(self, diagnosis: Diagnosis, baseline: Diagnosis | None = None) -> str:
        """Return the whole report as text with a final newline."""


def show_comparison(old: Diagnosis, new: Diagnosis, options: Options, chosen: tuple[Destination, ...]) -> int:
    """Write the comparison of two runs to `chosen` and return the exit status."""
    comparison = compare(old, new)
    outputs.write(chosen, lambda to: _comparison(comparison, to, options))
    if new.verdict is Verdict.NOT_MEASURED:
        raise NothingMeasured(new.model.path)
    return _status(comparison, options, told=True)


def _status(comparison: Comparison, options: Options, *, told: bool) -> int:
    """Return 1 only for what got worse, and name it on stderr where the report on stdout does not."""
    failing = comparison.failing(_failing(options))
    if failing and not told and not options.quiet:
        more = f" and {len(failing) - 1:,} more" if len(failing) > 1 else ""
        output.say(f"gradcheck: worse than the baseline: {failing[0].layer}{more}")
    return ExitStatus.ILL if failing else ExitStatus.OK


def _failing(options: Options) -> frozenset[Verdict]:
    return frozenset(Verdict(name) for name in options.fail_on)


def _text(diagnosis: Diagnosis, to: Destination, options: Options) -> str:
    from gradcheck_cli.render import plain_text, table

    if to.path is not None:
        return plain_text.render(diagnosis, verbose=options.verbose)
    # Whole, so that an error leaves no half of it.
    console = _console(options)
    with console.capture() as page:
        table.render(diagnosis, console, verbose=options.verbose)
    return page.get()


def _comparison(comparison: Comparison, to: Destination, options: Options) -> str:
    from gradcheck_cli.render.comparison import renderer

    if to.format != "text":
        return renderer(to.format).render(comparison)
    from gradcheck_cli.render import comparison_table

    if to.path is not None:
        return comparison_table.render(comparison, verbose=options.verbose)
    console = _console(options)
    with console.capture() as page:
        comparison_table.write(comparison, console, verbose=options.verbose)
    return page.get()


def _console(options: Options) -> Console:
    """Return the terminal, or the pipe, that stdout is."""
    from rich.console import Console

    return Console(file=sys.stdout or StringIO(), color_system=None if options.no_color else "auto")
