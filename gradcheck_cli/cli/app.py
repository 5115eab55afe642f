"""The commands, and the one place where every failure becomes a line on stderr and an exit status."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

from gradcheck_cli import __version__
from gradcheck_cli.cli import output, settings
from gradcheck_cli.cli.compare import compare
from gradcheck_cli.cli.diagnose import diagnose
from gradcheck_cli.cli.inspect import inspect
from gradcheck_cli.cli.options import Options
from gradcheck_cli.cli.report import report
from gradcheck_cli.cli.rules import explain, rules
from gradcheck_cli.cli.schema import schema
from gradcheck_cli.cli.signals import Stopped, stoppable
from gradcheck_cli.errors import ExitStatus, GradcheckError, UsageError

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the help needs no rich, whose import takes longer than all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(diagnose)
app.command()(report)
app.command()(compare)
app.command()(inspect)
app.command()(explain)
app.command()(rules)
app.command()(schema)


@app.callback(invoke_without_command=True)
def gradcheck(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    """Can this network learn, and if not, where, why and what to do?"""
    if version:
        output.write(f"gradcheck {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise UsageError(
            "usage", "no command is given", hint="gradcheck --help lists them; try gradcheck diagnose MODEL"
        )
    if context.invoked_subcommand in ("diagnose", "report", "compare"):
        values = settings.read([field.name for field in fields(Options)])
        context.default_map = {context.invoked_subcommand: values}
    return 0


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; everything that goes wrong has been told by then."""
    try:
        with stoppable():
            return _run(arguments)
    except Stopped as stopped:
        return _tell(stopped.told, arguments)
    except GradcheckError as error:
        return _tell(error, arguments)
    except BrokenPipeError:
        return ExitStatus.CLOSED_PIPE
    except Exception as error:  # else Python's own status would be 1, which means that a layer is ill
        from gradcheck_cli.worker.failures import internal

        if "--debug" in arguments:
            for line in "".join(traceback.format_exception(error)).splitlines():
                output.say(line)
        return _tell(internal(error), arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        status = typer.main.get_command(app).main(args=list(arguments), prog_name="gradcheck", standalone_mode=False)
        return int(status or 0)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # Typer's own way out, with a status that would mean 'ill'
            raise output.unwritable(error.__context__) from error
        raise
    except Exception as error:
        if _is_typers(error):
            raise _usage(error) from error
        if isinstance(error, OSError):
            # Of ours every one is handled where it arises; what is left is the help, on its way to stdout.
            raise output.unwritable(error) from error
        raise


def _is_typers(error: Exception) -> bool:
    """Whether Typer complains about the command line; which class that is depends on Typer's version."""
    return any(kind.__name__ == "ClickException" for kind in type(error).__mro__)


def _usage(error: Any) -> UsageError:
    message: str = error.format_message().replace("Value error, ", "").strip().rstrip(".")
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    source = context.get_parameter_source(parameter.name) if context is not None and parameter is not None else None
    file = settings.FILE if source is not None and source.name == "DEFAULT_MAP" else ""
    command = context.command_path if context is not None else "gradcheck"
    return UsageError("usage", message[:1].lower() + message[1:], hint=f"see {command} --help", file=file)


def _tell(error: GradcheckError, arguments: Sequence[str]) -> int:
    """Say what went wrong on stderr, and for machines on stdout too, where nothing else has been written."""
    output.say_error(error)
    if for_machines := _for_machines(error, arguments):
        with contextlib.suppress(OSError, GradcheckError):  # it has been said
            output.write(for_machines)
    return error.status


def _for_machines(error: GradcheckError, arguments: Sequence[str]) -> str:
    """Return the error in the format of the flag; empty where no flag is given, or the report itself says it."""
    from gradcheck_cli.cli.showing import NothingMeasured

    if isinstance(error, NothingMeasured):
        return ""
    if "--json" in arguments:
        from gradcheck_cli.render import json_v1

        return json_v1.render_error(error)
    if "--github" in arguments:
        from gradcheck_cli.render import github

        return github.render_error(error)
    return ""
