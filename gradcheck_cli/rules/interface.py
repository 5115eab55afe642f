"""What a rule is: one file, one class, a stable code, and a docstring that is its manual (`gradcheck explain CODE`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

import msgspec

from gradcheck_cli.records import Evidence, Verdict
from gradcheck_cli.rules.view import View


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's word on one layer, before the judge has joined all of them."""

    layer: str
    message: str
    confidence: float = 1.0
    culprit: bool = False
    because_of: tuple[str, ...] = ()
    evidence: Evidence = {}


class Rule(Protocol):
    """A rule computes; selecting, ordering and reporting are the judge's."""

    code: ClassVar[str]
    """Never reused."""
    name: ClassVar[str]
    """Readable slug; notes appear under it beside the layer."""
    verdict: ClassVar[Verdict]
    """What the layer is where the rule hits; `Verdict.HEALTHY` for notes."""

    def check(self, view: View) -> Iterator[Hit]:
        """Look at the readings and yield one hit for each layer concerned."""
        ...
