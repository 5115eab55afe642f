"""The options of the commands that measure, once for all of them."""

from __future__ import annotations

import enum
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

import typer

from gradcheck_cli.errors import UsageError


class Mode(str, enum.Enum):
    """The module's mode while it is measured."""

    TRAIN = "train"
    EVAL = "eval"


class Optimizer(str, enum.Enum):
    """The optimiser whose update is judged."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAM = "adam"
    ADAMW = "adamw"


class Dtype(str, enum.Enum):
    """What can be measured in."""

    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"


class Precision(str, enum.Enum):
    """What can be asked about."""

    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"


_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes that ``8G``, ``500M`` or ``1.5GB`` stand for, in powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise typer.BadParameter(f"{text!r} is not a size like 8G or 500M.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def parse_rate(text: str) -> float:
    """Return a learning rate: a positive, finite number."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise typer.BadParameter(f"{text!r} is not a positive number.")
    return rate


def parse_fail_on(values: list[str]) -> list[str]:
    """Split ``dead,exploding``; ``none`` gives an empty list."""
    verdicts = split(values)
    if verdicts == ["none"]:
        return []
    for verdict in verdicts:
        if verdict not in FAILING:
            raise typer.BadParameter(f"{verdict!r} is none of {', '.join(FAILING)}, and not 'none' alone.")
    return verdicts


def split(values: list[str]) -> list[str]:
    """Take lists with commas apart, whether an option was repeated or not."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def split_ignored(values: list[str]) -> list[str]:
    """Take lists apart as `split` does; a reason, which may have commas, goes with every rule of its list."""
    found = []
    for value in values:
        rules, _, reason = value.partition(" #")
        found += [f"{rule} # {reason.strip()}" if reason.strip() else rule for rule in split([rules])]
    return found


FAILING = ("dead", "exploding", "vanishing")
"""The verdicts that can make the exit status 1."""


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, show_default=settings.pop("show_default", False), **settings)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that can be asked of a measurement but the model, with its help and its default."""

    data: Annotated[
        str | None,
        _option(
            "--data",
            metavar="FILE",
            help="The sample: .npz, .npy, .pt, .safetensors, .csv, .parquet, .pb, a folder of images, or module:callable. "
            "[default: made up]",
        ),
    ] = None
    target: Annotated[
        str | None,
        _option("--target", metavar="KEY|FILE", help="The target: a key or column of the data, or a file of its own."),
    ] = None
    input_shape: Annotated[
        list[str],
        _option(
            "--input-shape",
            metavar="[NAME=]SHAPE[:DTYPE]",
            help="A made-up input without its batch: 3,32,32 or input_ids=16:int64. Repeat it for several inputs.",
        ),
    ] = ()  # type: ignore[assignment]
    loss: Annotated[
        str | None,
        _option(
            "--loss",
            metavar="NAME",
            help="cross-entropy, bce, mse, l1, nll, none, or module:callable. [default: from the target]",
        ),
    ] = None
    arch: Annotated[
        str | None,
        _option("--arch", metavar="MODULE:CALLABLE", help="The architecture of a file that holds only weights."),
    ] = None
    trust: Annotated[bool, _option("--trust", help="Allow code inside the file to run (full pickles).")] = False
    no_parity: Annotated[bool, _option("--no-parity", help="Do not compare an ONNX model with ONNX Runtime first.")] = (
        False
    )
    batch_size: Annotated[
        int, _option("--batch-size", metavar="N", min=1, help="Samples in a batch.", show_default=True)
    ] = 32
    batches: Annotated[int, _option("--batches", metavar="N", min=1, help="How many batches.", show_default=True)] = 4
    mode: Annotated[Mode, _option("--mode", help="The module's mode while measuring.", show_default=True)] = Mode.TRAIN
    rehearse: Annotated[
        int,
        _option(
            "--rehearse",
            metavar="N",
            min=0,
            max=10_000,
            help="Optimiser steps to try on a copy in memory; 0 turns it off.",
            show_default=True,
        ),
    ] = 20
    optimizer: Annotated[Optimizer, _option("--optimizer", help="Whose update is judged.", show_default=True)] = (
        Optimizer.SGD
    )
    lr: Annotated[
        float | None,
        _option(
            "--lr",
            metavar="X",
            parser=parse_rate,
            help="Learning rate. [default: a gentle one, and no update is judged]",
        ),
    ] = None
    dtype: Annotated[Dtype | None, _option("--dtype", help="What to measure in. [default: the model's]")] = None
    device: Annotated[
        str | None,
        _option("--device", metavar="NAME", help="What to measure on: cpu, cuda, cuda:1, mps. [default: auto]"),
    ] = None
    reinit: Annotated[
        int,
        _option(
            "--reinit", metavar="N", min=0, max=10_000, help="Draw N other initialisations and count their verdicts."
        ),
    ] = 0
    precision: Annotated[
        Precision | None, _option("--precision", help="Ask what training in this precision would lose.")
    ] = None
    seed: Annotated[
        int, _option("--seed", metavar="N", min=0, max=2**32 - 1, help="Of everything random.", show_default=True)
    ] = 0
    fail_on: Annotated[
        list[str],
        _option(
            "--fail-on",
            metavar="LIST",
            callback=parse_fail_on,
            help="Verdicts of a layer that make the exit status 1, or none. [default: dead,exploding,vanishing]",
        ),
    ] = FAILING  # type: ignore[assignment]  # a mutable default is none; Typer gives a list
    select: Annotated[
        list[str],
        _option("--select", metavar="LIST", callback=split, help="Only these rules: GC101, GC2, GC101:layer-pattern."),
    ] = ()  # type: ignore[assignment]
    ignore: Annotated[
        list[str],
        _option(
            "--ignore",
            metavar="LIST",
            callback=split_ignored,
            help="Not these rules; as --select, and with a reason: 'GC101:head.* # small by design'.",
        ),
    ] = ()  # type: ignore[assignment]
    json: Annotated[bool, _option("--json", help="Write the report as JSON.")] = False
    markdown: Annotated[bool, _option("--markdown", help="Write it as Markdown, for job summaries and comments.")] = (
        False
    )
    junit: Annotated[bool, _option("--junit", help="Write it as JUnit XML, a test case a layer.")] = False
    sarif: Annotated[bool, _option("--sarif", help="Write it as SARIF 2.1.0, for code scanning.")] = False
    github: Annotated[bool, _option("--github", help="Write it as annotations of GitHub Actions.")] = False
    csv: Annotated[bool, _option("--csv", help="Write it as CSV, a row a layer.")] = False
    html: Annotated[bool, _option("--html", help="Write it as a page that opens in any browser, offline.")] = False
    output: Annotated[
        list[str],
        _option(
            "--output",
            metavar="[FORMAT:]FILE",
            help="Write the report to FILE, whole or not at all, in the format that FORMAT: or the ending names. "
            "Repeat it for several.",
        ),
    ] = ()  # type: ignore[assignment]
    tensorboard: Annotated[
        str | None,
        _option(
            "--tensorboard",
            metavar="DIR",
            help="Write readings and histograms of the gradients to DIR for TensorBoard, a step a checkpoint.",
        ),
    ] = None
    baseline: Annotated[
        str | None,
        _option("--baseline", metavar="FILE", help="A report as JSON: the exit status is 1 only for what is worse."),
    ] = None
    quiet: Annotated[
        bool, _option("--quiet", help="Show no table and no progress; --json and --output still write.")
    ] = False
    no_color: Annotated[bool, _option("--no-color", help="No colours in the table.")] = False
    verbose: Annotated[bool, _option("--verbose", help="Unfold the runs of healthy layers.")] = False
    time_limit: Annotated[
        float, _option("--time-limit", metavar="SECONDS", min=0, help="End after that; 0: never.", show_default=True)
    ] = 600
    memory_limit: Annotated[
        int | None,
        _option(
            "--memory-limit",
            metavar="SIZE",
            parser=parse_size,
            help="Memory the measurement may take, as 8G; 0: any. [default: most of what is free]",
        ),
    ] = None
    debug: Annotated[bool, _option("--debug", help="Show the traceback of a failure.")] = False


FLAGS = ("json", "markdown", "junit", "sarif", "github", "csv", "html")
"""Options that each ask for a format on stdout."""

SHOWING = frozenset({*FLAGS, "fail_on", "output", "tensorboard", "baseline", "quiet", "no_color", "verbose", "debug"})
"""Options about showing a report; all others are about measuring."""


def refuse_measuring_options(context: typer.Context, why: str) -> None:
    """Raise `UsageError` for an option that would do nothing: that is an error, not a surprise."""
    measuring = {field.name for field in fields(Options)} - SHOWING
    for name in context.params:
        source = context.get_parameter_source(name)
        if name in measuring and source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                "usage", f"--{name.replace('_', '-')} is about measuring, and {why}", hint="leave the option out"
            )


def takes_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command whose last parameter is `options` all fields of `Options` as its command-line options."""
    *own, _ = inspect.signature(command, eval_str=True).parameters.values()
    hints = get_type_hints(Options, include_extras=True)

    def with_options(**values: Any) -> int:
        context = values["context"]
        mine = {parameter.name: values.pop(parameter.name) for parameter in own}
        values.pop("context", None)
        return command(**mine, options=Options(**_flag_over_settings(context, values)))

    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(Options)
    ]
    parameters = [parameter.replace(kind=keyword) for parameter in own] + options
    if "context" not in {parameter.name for parameter in own}:
        parameters.append(inspect.Parameter("context", keyword, annotation=typer.Context))
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    return with_options


def _flag_over_settings(context: typer.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` without the format that the settings ask for where a flag asks for another."""
    sources = {name: context.get_parameter_source(name) for name in FLAGS if values[name]}
    flagged = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    return values | {name: name in flagged for name in sources} if flagged else values
