"""``gradcheck compare OLD NEW``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gradcheck_cli.cli.options import Options, refuse_measuring_options, takes_options
from gradcheck_cli.errors import UsageError

if TYPE_CHECKING:
    from gradcheck_cli.records import Diagnosis


@takes_options
def compare(
    context: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OLD] [NEW]",
            help="Each a report written with --json, or a model, which is measured. With --baseline only NEW, without "
            "which it is the last run.",
            show_default=False,
        ),
    ] = None,
    *,
    options: Options,
) -> int:
    """Tell what got worse, and what better, from OLD to NEW, layer by layer.

    The exit status is 1 only where something got worse, or is new and ill; what was ill before is not counted.
    """
    from gradcheck_cli import store
    from gradcheck_cli.cli import outputs
    from gradcheck_cli.cli.showing import show_comparison
    from gradcheck_cli.render.comparison import FORMATS

    if options.tensorboard is not None:
        hint = "give it to gradcheck report, for each of the two"
        raise UsageError("unknown-format", "a comparison cannot be written for TensorBoard", hint=hint)
    chosen = outputs.destinations(options, FORMATS)
    old, new = _sides(runs or [], options.baseline)
    if all(name is None or store.is_run(name) for name in (old, new)):
        refuse_measuring_options(context, "of two kept runs nothing is measured")
    before = _run(old, options)
    return show_comparison(before, _run(new, options), options, chosen)


def _sides(runs: list[str], baseline: str | None) -> tuple[str, str | None]:
    """Return the names of the old and of the new run; None for the last one kept."""
    if baseline is not None and len(runs) <= 1:
        return baseline, runs[0] if runs else None
    if baseline is None and len(runs) == 2:
        return runs[0], runs[1]
    wanted = "OLD and NEW" if baseline is None else "--baseline and NEW"
    raise UsageError("usage", f"two runs are compared, {wanted}, not {len(runs)}", hint="see gradcheck compare --help")


def _run(name: str | None, options: Options) -> Diagnosis:
    from gradcheck_cli import store
    from gradcheck_cli.cli.measure import measure

    if name is None:
        return store.last()
    return store.read(name) if store.is_run(name) else measure([name], options)
