"""``gradcheck diagnose MODEL``."""

from __future__ import annotations

from typing import Annotated

import typer

from gradcheck_cli.cli.options import Options, takes_options


@takes_options
def diagnose(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A model file (.pt, .pt2, .safetensors), a directory, or package.module:attribute; several files are the "
            "checkpoints of one run, the oldest first.",
            show_default=False,
        ),
    ],
    options: Options,
) -> int:
    """Measure MODEL: can it learn, and if not, why?

    The run is kept in .gradcheck/ for `gradcheck report`. The exit status is 0 for healthy, 1 for ill, 2 for something
    that cannot be used, 3 for a measurement that did not come to its end.
    """
    from gradcheck_cli.cli.measure import measure
    from gradcheck_cli.cli.showing import Showing

    showing = Showing(options)
    return showing.show(measure(models, options))
