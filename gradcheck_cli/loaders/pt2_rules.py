"""Rules for JSON values: combinators for records, unions and lists, and the scalars of an exported program."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any

from gradcheck_cli.loaders import pt2_expressions
from gradcheck_cli.loaders.pt2_errors import DoorError
from gradcheck_cli.loaders.refusals import printable

Rule = Callable[[Any], Any]
"""JSON value → clean value; raises `DoorError`."""

MAX_TEXT = 10_000
_QUALIFIED = re.compile(r"(?!__)[A-Za-z0-9_\-]+(\.(?!__)[A-Za-z0-9_\-]+)*")


def record(required: dict[str, Rule] | None = None, /, **fields: Rule) -> Rule:
    """A dict with these fields, where `required` ones must be present; unknown ones are dropped."""
    must = required or {}

    def rule(value: Any) -> Any:
        if not isinstance(value, dict) or not all(name in value for name in must):
            raise DoorError("a part of it is no record of the known layout")
        return {name: field(value[name]) for name, field in {**must, **fields}.items() if name in value}

    return rule


def union(**members: Rule) -> Rule:
    """A dict with exactly one of these keys."""

    def rule(value: Any) -> Any:
        if not isinstance(value, dict) or len(value) != 1:
            raise DoorError("a part of it is no record of the known layout")
        ((name, content),) = value.items()
        if name not in members:
            raise DoorError(f"it has a part of the kind {printable(name, 40)}")
        return {name: members[name](content)}

    return rule


def sequence(item: Rule) -> Rule:
    """A list of items of one rule."""

    def rule(value: Any) -> Any:
        if not isinstance(value, list):
            raise DoorError("a part of it is no list where one belongs")
        return [item(part) for part in value]

    return rule


def mapping(key: Rule, item: Rule) -> Rule:
    """A dict with free keys."""

    def rule(value: Any) -> Any:
        if not isinstance(value, dict):
            raise DoorError("a part of it is no record of the known layout")
        return {key(name): item(part) for name, part in value.items()}

    return rule


def optional(item: Rule) -> Rule:
    """None, or what the rule allows."""
    return lambda value: None if value is None else item(value)


def constant(content: Any) -> Rule:
    """Anything is replaced by `content`."""
    return lambda _: content


# ------------------------------------------------------------------------------------------------------------ scalars


def integer(value: Any) -> Any:
    """A 64-bit integer."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise DoorError("it has something else where an integer belongs")
    return value


def boolean(value: Any) -> Any:
    """True or false."""
    if type(value) is not bool:
        raise DoorError("it has something else where a truth value belongs")
    return value


def number(value: Any) -> Any:
    """A float, or the text that torch writes for infinite and undefined ones."""
    if type(value) in (int, float) or value in ("Infinity", "-Infinity", "NaN"):
        return value
    raise DoorError("it has something else where a number belongs")


def text(value: Any) -> Any:
    """Printable text; it ends up in Python source only as a quoted literal."""
    if type(value) is not str or len(value) > MAX_TEXT or not value.replace("\n", "").isprintable():
        raise DoorError("it has something else where plain text belongs")
    return value


def name(value: Any) -> Any:
    """A Python identifier: torch pastes these into source."""
    if type(value) is not str or not value.isascii() or not value.isidentifier() or keyword.iskeyword(value):
        raise DoorError(f"it has the name {printable(value, 40)}, which is no plain identifier")
    return value


def argument_name(value: Any) -> Any:
    """An operator's argument: an identifier (``from`` too), or empty for higher-order operators."""
    return value if value in ("", "from") else name(value)


def qualified_name(value: Any) -> Any:
    """A parameter's or module's path, ``layer1.0.conv1.weight``."""
    if type(value) is not str or not _QUALIFIED.fullmatch(value):
        raise DoorError(f"it has the parameter name {printable(value, 40)}, which is no plain dotted name")
    return value


def expression(value: Any) -> Any:
    """A shape expression of the strict grammar."""
    if type(value) is not str or not pt2_expressions.is_allowed(value):
        raise DoorError(f"it has the shape expression {printable(value, 60)}, which is not of the checked grammar")
    return value


def absent(what: str) -> Rule:
    """Nothing, or something empty; `what` it would be is for the message."""

    def rule(value: Any) -> Any:
        if value:
            raise DoorError(f"it has {what}")
        return value

    return rule
