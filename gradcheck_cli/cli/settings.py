"""``[tool.gradcheck]`` of the ``pyproject.toml`` in the working directory: defaults for the options, under any flag."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gradcheck_cli.errors import UsageError

FILE = "pyproject.toml"
FLAG_ONLY = frozenset({"trust", "output", "tensorboard", "debug"})
"""The file may have come with the model: code is trusted, or a file written, only if the user says so."""


def read(known: Collection[str]) -> dict[str, Any]:
    """Return option name (``batch_size``) → value; `known` are the names of all options.

    Raises `UsageError` for a file that is no TOML, a key that is no option, a value of no use.
    """
    path = Path(FILE)
    if not path.is_file():
        return {}
    table = _table(path)
    allowed = {name.replace("_", "-") for name in known if name not in FLAG_ONLY}
    return {key.replace("-", "_"): _value(key, value) for key, value in table.items() if _check(key, allowed)}


def _table(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(f"cannot be read ({error})") from error
    tools = document.get("tool", {})
    table = tools.get("gradcheck", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise _unusable("tool.gradcheck is not a table")
    return table


def _check(key: str, allowed: set[str]) -> bool:
    if key in allowed:
        return True
    if key.replace("-", "_") in FLAG_ONLY:
        raise _unusable(f"{key} may not stand in [tool.gradcheck]", hint=f"give --{key} on the command line")
    nearest = difflib.get_close_matches(key.replace("_", "-"), allowed, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(sorted(allowed))}"
    raise _unusable(f"unknown key {key} in [tool.gradcheck]", hint=hint)


def _value(key: str, value: Any) -> Any:
    """Return `value` as it would stand on a command line, so that one parser serves both."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (str, int, float)):
        return [str(value)] if key in _LISTS else str(value)
    if key in _LISTS and isinstance(value, list):
        items = [_ignored(item) if key == "ignore" and isinstance(item, dict) else item for item in value]
        if all(isinstance(item, str) for item in items):
            return items
    raise _unusable(f"the value of {key} in [tool.gradcheck] is a {type(value).__name__}")


def _ignored(entry: dict[str, Any]) -> str:
    """Return ``{layer = "head.*", code = "GC101", reason = "…"}`` as ``GC101:head.* # …``."""
    for key in entry:
        if key not in _IGNORED:
            nearest = difflib.get_close_matches(key, _IGNORED, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(_IGNORED)}"
            raise _unusable(f"unknown key {key} in an ignore of [tool.gradcheck]", hint=hint)
    for key in ("code", "reason"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise _unusable(f"an ignore in [tool.gradcheck] has no {key}", hint=f'add {key} = "…"')
    layer = entry.get("layer", "*")
    if not isinstance(layer, str) or "," in layer:
        raise _unusable("the layer of an ignore in [tool.gradcheck] is no pattern, or has a comma", hint="use ? for it")
    rule = f"{entry['code']}:{layer}" if "layer" in entry else str(entry["code"])
    return f"{rule} # {' '.join(entry['reason'].split())}"


_IGNORED = ("layer", "code", "reason")
_LISTS = ("fail-on", "select", "ignore", "input-shape")


def _unusable(message: str, *, hint: str = "correct the file") -> UsageError:
    return UsageError("settings", message, hint=hint, file=FILE)
