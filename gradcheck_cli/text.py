"""Text from files and models is hostile: what must not reach a terminal or a log is made visible."""

from __future__ import annotations

import re

_COMMAND = re.compile(r"(?<!\S):(?=:)|#(?=#(?:\[|vso\[|teamcity\[))")
"""What begins a command to the service that reads a build's log: ``::error::``, ``##[error]``, ``##vso[``, ``##teamcity[``."""


def plain(text: str) -> str:
    r"""Return `text` on one line, what does not print shown as its escape: ``\n``, ``\x1b``, ``\u202e``.

    That is control and escape characters, line and paragraph separators, bidirectional and zero-width marks, unusual
    spaces, lone surrogates (bytes of a path that are no UTF-8), private and unassigned code points. Printable text, the
    plain space included, comes back unchanged, so that ordinary names in any script stay readable. Markup of rich, XML
    or HTML is the renderers' own affair.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _visible(char) for char in text)


def inert(text: str) -> str:
    r"""Return `plain` text in which no build service finds a command; its first character is shown as its escape.

    GitHub's runner obeys ``::name::`` at the start of a line and ``##[name]`` anywhere, on stdout and stderr alike; since
    lines are wrapped, ``::`` must not begin a word either.
    """
    return _COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", plain(text))


def _visible(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
