"""The JSON report, version 1: the records field by field, in pure ASCII, the same bytes for the same diagnosis."""

from __future__ import annotations

import json
import math
from importlib import resources
from typing import Any

import msgspec

from gradcheck_cli.compare import compare
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.records import Diagnosis

SCHEMA_VERSION = 1
MEASURE_AGAIN = "measure the model again with gradcheck diagnose"


def render(diagnosis: Diagnosis, baseline: Diagnosis | None = None) -> str:
    """Return the report with a final newline; non-finite numbers as the strings ``nan``, ``inf``, ``-inf``.

    Against a baseline, a last member ``baseline`` is the comparison with it, as `comparison_json` writes it.
    """
    # Converted once, a whole number in a field of floats reads 1.0, as it does when the report comes back from `parse`.
    typed = msgspec.convert(msgspec.to_builtins(diagnosis), Diagnosis)
    report = msgspec.to_builtins(typed)
    if baseline is not None:
        report["baseline"] = msgspec.to_builtins(compare(baseline, diagnosis))
    return dump(report)


def render_error(error: GradcheckError) -> str:
    """Return the object that stands in place of a report when there is none."""
    facts = {"slug": error.slug, "file": error.file, "message": error.message, "hint": error.hint}
    return dump({"schema_version": SCHEMA_VERSION, "error": facts})


def parse(text: str) -> Diagnosis:
    """Read a report back; in `Finding.evidence`, where a text is as good as a number, ``nan`` stays a string.

    Raises `GradcheckError` of slug ``broken-report`` for anything but a report of this schema version.
    """
    try:
        report = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _broken(f"it is no JSON ({error})") from error
    version = report.get("schema_version") if isinstance(report, dict) else None
    if type(version) is not int:
        raise _broken("it has no schema_version")
    if version != SCHEMA_VERSION:
        hint = "update gradcheck" if version > SCHEMA_VERSION else MEASURE_AGAIN
        raise _broken(f"its schema version is {version}, this gradcheck reads {SCHEMA_VERSION}", hint)
    if "error" in report:
        raise _broken("it holds an error, not a diagnosis")
    try:
        # strict=False reads the strings of non-finite numbers as the numbers that they stand for.
        return msgspec.convert(report, Diagnosis, strict=False)
    except msgspec.ValidationError as error:
        raise _broken(str(error)) from error


def schema() -> str:
    """Return the JSON Schema (2020-12) of what `render` and `render_error` write."""
    return resources.files(__package__).joinpath("report.schema.json").read_text(encoding="utf-8")


def dump(value: object) -> str:
    """Return lists, dictionaries, texts and numbers as JSON, in the same manner as the report."""
    return json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, indent=2) + "\n"


def _finite(value: Any) -> Any:
    """Return `value` with every non-finite number, however deep, as its string."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _broken(why: str, hint: str = MEASURE_AGAIN) -> GradcheckError:
    return GradcheckError("broken-report", f"this is not a report that can be read: {why}", hint=hint)
