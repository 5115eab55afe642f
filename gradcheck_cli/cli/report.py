"""``gradcheck report [MODEL]``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradcheck_cli.cli.options import Options, refuse_measuring_options, takes_options


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
    from gradcheck_cli.cli.showing import Showing

    showing = Showing(options)
    if models:
        from gradcheck_cli.cli.measure import measure

        return showing.show(measure(models, options))
    refuse_measuring_options(context, "without MODEL nothing is measured")
    return showing.show(store.last())
