"""Everything that can go wrong for a user, as one tree: a stable slug, what is wrong, what to do, and the exit status."""

from __future__ import annotations

import enum


class ExitStatus(enum.IntEnum):
    """The exit statuses of the contract."""

    OK = 0
    ILL = 1
    UNUSABLE = 2
    NOT_COMPLETED = 3
    INTERNAL = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


class GradcheckError(Exception):
    """Base of all; shown as ``gradcheck: error[slug]: file: message; hint``."""

    status: ExitStatus = ExitStatus.UNUSABLE

    def __init__(self, slug: str, message: str, *, hint: str = "", file: str = "") -> None:
        super().__init__(message)
        self.slug = slug
        """Stable, lower case with hyphens."""
        self.message = message
        """What is wrong, and why: one clause without a final full stop."""
        self.hint = hint
        """What to do: one clause."""
        self.file = file
        """The file or entry point it is about, as the user wrote it."""

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}"


class UsageError(GradcheckError):
    """The command line or its options cannot be used."""


class ModelError(GradcheckError):
    """The model's file or entry point is missing, broken, unsafe or unsupported."""


class SampleError(GradcheckError):
    """The data, target or loss cannot be used with this model."""


class OutputError(GradcheckError):
    """The report cannot be written."""


class NotCompleted(GradcheckError):
    """The measurement did not come to an end: the model's own code failed, or a budget was spent."""

    status = ExitStatus.NOT_COMPLETED


class InternalError(GradcheckError):
    """A fault of gradcheck's own."""

    status = ExitStatus.INTERNAL
