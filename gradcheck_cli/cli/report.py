"""``gradcheck report [MODEL]``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradcheck_cli.cli.options import SHOWING, Options, takes_options
from gradcheck_cli.errors import UsageError


@takes_options
def report(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]", help="What to measure; without it the last run is shown.", show_default=False
        ),
    ] = None,
    *,
    options: Options,
) -> int:
    """Show the last run of this directory again. With MODEL, measure that first, as `gradcheck diagnose` does."""
    from gradcheck_cli import store
    from gradcheck_cli.cli.measure import measure, show

    if models:
        return show(measure(models, options), options)
    _refuse_measuring_options(context)
    return show(store.last(), options)


def _refuse_measuring_options(context: typer.Context) -> None:
    """An option that would do nothing is an error, not a surprise."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in SHOWING and source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                "usage",
                f"--{name.replace('_', '-')} is about measuring, and without MODEL nothing is measured",
                hint="name the model, or leave the option out",
            )
