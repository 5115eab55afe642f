"""Every way in which a model can be refused: one table of stable slugs, and the one function that builds the error."""

from __future__ import annotations

import enum

from gradcheck_cli.errors import ModelError
from gradcheck_cli.text import plain


class Slug(str, enum.Enum):
    """The stable slug of a refusal; its `meaning` explains it on a page of all errors."""

    MISSING_FILE = "missing-file"
    UNREADABLE_FILE = "unreadable-file"
    NOT_A_REGULAR_FILE = "not-a-regular-file"
    EMPTY_FILE = "empty-file"
    NOT_A_MODEL = "not-a-model"
    TRUNCATED_FILE = "truncated-file"
    DAMAGED_FILE = "damaged-file"
    UNSUPPORTED_FORMAT = "unsupported-format"
    UNSUPPORTED_OPERATOR = "unsupported-operator"
    DIFFERS_FROM_RUNTIME = "differs-from-runtime"
    UNSAFE_PICKLE = "unsafe-pickle"
    FOREIGN_CLASS = "foreign-class"
    UNSAFE_ARCHIVE = "unsafe-archive"
    UNSAFE_PATH = "unsafe-path"
    NEEDS_ARCHITECTURE = "needs-architecture"
    WEIGHTS_DO_NOT_FIT = "weights-do-not-fit"
    MISSING_EXTRA = "missing-extra"
    LOAD_FAILED = "load-failed"
    NO_VALUES = "no-values"
    UNINITIALIZED = "uninitialized-parameters"
    NO_SUCH_MODULE = "no-such-module"
    NO_SUCH_ATTRIBUTE = "no-such-attribute"
    NEEDS_ARGUMENTS = "needs-arguments"
    NOT_A_MODULE = "not-a-module"
    ENTRY_POINT_FAILED = "entry-point-failed"

    @property
    def meaning(self) -> str:
        """One sentence for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Slug.MISSING_FILE: "there is no such file, and the name is not an entry point either",
    Slug.UNREADABLE_FILE: "the file exists but the operating system does not let us read it",
    Slug.NOT_A_REGULAR_FILE: "a pipe, device, socket or plain directory, from which no model can be read",
    Slug.EMPTY_FILE: "the file has no bytes",
    Slug.NOT_A_MODEL: "the file is something else: text, data, an unknown binary",
    Slug.TRUNCATED_FILE: "the file begins as a model and ends too early",
    Slug.DAMAGED_FILE: "the file's parts contradict each other or their checksums",
    Slug.UNSUPPORTED_FORMAT: "the file is a model in a format that cannot be measured (yet)",
    Slug.UNSUPPORTED_OPERATOR: "an ONNX model with operators that cannot be differentiated here",
    Slug.DIFFERS_FROM_RUNTIME: "an ONNX model whose outputs here are not those of ONNX Runtime",
    Slug.UNSAFE_PICKLE: "opening the file would do more than build a network of torch.nn classes",
    Slug.FOREIGN_CLASS: "the file holds objects of classes that are not torch's, whose code would have to run",
    Slug.UNSAFE_ARCHIVE: "an exported program with members, operations or expressions that are not on the checked list",
    Slug.UNSAFE_PATH: "a checkpoint in several files names one outside of its own folder",
    Slug.NEEDS_ARCHITECTURE: "the file holds weights alone; --arch names the network that they belong to",
    Slug.WEIGHTS_DO_NOT_FIT: "names or shapes of the weights in the file are not those of the network",
    Slug.MISSING_EXTRA: "the format needs a library that is not installed with gradcheck by default",
    Slug.LOAD_FAILED: "torch itself could not open the file",
    Slug.NO_VALUES: "the parameters have shapes but no values (meta device)",
    Slug.UNINITIALIZED: "lazy parameters that have not seen an input yet",
    Slug.NO_SUCH_MODULE: "the entry point's Python module cannot be imported",
    Slug.NO_SUCH_ATTRIBUTE: "the entry point's module has no such attribute",
    Slug.NEEDS_ARGUMENTS: "the entry point needs arguments and is called without any",
    Slug.NOT_A_MODULE: "what was loaded is no torch.nn.Module",
    Slug.ENTRY_POINT_FAILED: "the entry point's own code raised",
}

TRUST = "if you know where the file comes from, --trust lets the code in it run"
BUILD_IN_PYTHON = "build the model in Python and pass an entry point: gradcheck diagnose package.module:factory"


def refuse(slug: Slug, file: str, message: str, hint: str = "") -> ModelError:
    """The error to raise: what is wrong with `file` as one clause, and what to do."""
    return ModelError(slug.value, message, hint=hint, file=printable(file, limit=400))


def printable(text: object, limit: int = 120) -> str:
    """`text` from a hostile file, safe for a terminal: printable characters only, cut to `limit` characters."""
    shown = plain(str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def some(names: list[str], limit: int = 5) -> str:
    """A few of `names`, escaped, and how many more there are."""
    shown = ", ".join(printable(name, 80) for name in names[:limit])
    more = len(names) - limit
    return f"{shown} and {more} more" if more > 0 else shown
