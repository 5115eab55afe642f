"""A measurement for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli import store
from gradcheck_cli.cli import output
from gradcheck_cli.cli.options import Options
from gradcheck_cli.errors import OutputError
from gradcheck_cli.records import Diagnosis, Request


def measure(models: Sequence[str], options: Options) -> Diagnosis:
    """Measure the last of `models` in a worker process and keep the run; those before it are checkpoints of the same run.

    Raises the errors of `worker.supervise.measure`.
    """
    from gradcheck_cli.checkpoints import in_order
    from gradcheck_cli.cli import progress
    from gradcheck_cli.worker import supervise, wire

    order = wire.Order(
        request=_request(in_order(models), options), memory_limit=options.memory_limit, debug=options.debug
    )
    with progress.shown(quiet=options.quiet) as listener:
        diagnosis = supervise.measure(order, listener, time_limit=options.time_limit)
    try:
        store.keep(diagnosis)
    except OutputError as error:
        error.slug = "run-not-kept"  # a pity, but the report is what was asked for
        output.say_warning(error)
    return diagnosis


def _request(models: Sequence[str], options: Options) -> Request:
    return Request(
        model=models[-1],
        earlier=tuple(models[:-1]),
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
        rehearse=options.rehearse,
        optimizer=options.optimizer.value,
        lr=options.lr,
        dtype=options.dtype.value if options.dtype else None,
        device=None if options.device == "auto" else options.device,
        reinit=options.reinit,
        precision=options.precision.value if options.precision else None,
        seed=options.seed,
        select=tuple(options.select),
        ignore=tuple(options.ignore),
    )
