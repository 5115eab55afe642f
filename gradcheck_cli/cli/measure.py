"""A measurement for the command line, and what becomes of its result."""

from __future__ import annotations

import sys
from io import StringIO

from gradcheck_cli import store
from gradcheck_cli.cli import output
from gradcheck_cli.cli.options import Options
from gradcheck_cli.errors import ExitStatus, NotCompleted, OutputError
from gradcheck_cli.records import Diagnosis, Request, Verdict


def measure(model: str, options: Options) -> Diagnosis:
    """Measure in a worker process and keep the run; raises the errors of `worker.supervise.measure`."""
    from gradcheck_cli.cli import progress
    from gradcheck_cli.worker import supervise, wire

    order = wire.Order(request=_request(model, options), memory_limit=options.memory_limit, debug=options.debug)
    with progress.shown(quiet=options.quiet) as listener:
        diagnosis = supervise.measure(order, listener, time_limit=options.time_limit)
    try:
        store.keep(diagnosis)
    except OutputError as error:
        error.slug = "run-not-kept"  # a pity, but the report is what was asked for
        output.say_warning(error)
    return diagnosis


def show(diagnosis: Diagnosis, options: Options) -> int:
    """Write the report as `options` ask and return the exit status."""
    if options.json or options.output is not None or not options.quiet:
        output.write(_rendered(diagnosis, options), options.output)
    if diagnosis.verdict is Verdict.NOT_MEASURED:
        raise NothingMeasured(diagnosis.model.path)
    seen = {diagnosis.verdict, *(layer.verdict for layer in diagnosis.layers)}
    return ExitStatus.ILL if seen & {Verdict(name) for name in options.fail_on} else ExitStatus.OK


class NothingMeasured(NotCompleted):
    """The report is written, but it says nothing about any layer: that must not pass for healthy."""

    def __init__(self, model: str) -> None:
        super().__init__("nothing-measured", "no layer could be measured", hint="the report says why", file=model)


def _request(model: str, options: Options) -> Request:
    return Request(
        model=model,
        data=options.data,
        target=options.target,
        input_shape=tuple(options.input_shape),
        loss=options.loss,
        arch=options.arch,
        trust=options.trust,
        parity=not options.no_parity,
        batch_size=options.batch_size,
        batches=options.batches,
        mode=options.mode.value,
        optimizer=options.optimizer.value,
        lr=options.lr,
        dtype=options.dtype.value if options.dtype else None,
        device=None if options.device == "auto" else options.device,
        seed=options.seed,
        select=tuple(options.select),
        ignore=tuple(options.ignore),
    )


def _rendered(diagnosis: Diagnosis, options: Options) -> str:
    from gradcheck_cli.render import json_v1, plain_text

    if options.json:
        return json_v1.render(diagnosis)
    if options.output is not None:
        return plain_text.render(diagnosis, verbose=options.verbose)
    return _table(diagnosis, options)


def _table(diagnosis: Diagnosis, options: Options) -> str:
    """Return the table for the terminal, or the pipe, that stdout is; whole, so that an error leaves no half of it."""
    from rich.console import Console

    from gradcheck_cli.render import table

    console = Console(file=sys.stdout or StringIO(), color_system=None if options.no_color else "auto")
    with console.capture() as page:
        table.render(diagnosis, console, verbose=options.verbose)
    return page.get()
