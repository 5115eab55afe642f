"""Whatever was raised while measuring, as the one error that the user is told."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from gradcheck_cli.errors import GradcheckError, InternalError, NotCompleted

_OUT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "can't start new thread",
)
"""How the allocators of torch, numpy and the C++ library say it (in lower case): they raise plain `RuntimeError`."""

PLEASE_REPORT = "please report it with the command and, if you can, the model; --debug shows the traceback"


def explain(error: BaseException, *, model: str) -> GradcheckError:
    """Return the error to tell for `error`, which came out of the measurement of `model`."""
    if any(_is_memory(link) for link in _chain(error)):
        return memory_limit(model)
    if isinstance(error, GradcheckError):
        if isinstance(error, NotCompleted):
            error.file = error.file or model
        # The stages, which in the user's own process have no limit, call it out of memory.
        return memory_limit(model) if error.slug == "out-of-memory" else error
    if isinstance(error, SystemExit):
        return exited(f"called sys.exit({error.code!r})", model)
    if isinstance(error, KeyboardInterrupt):
        return exited("raised KeyboardInterrupt", model)
    return internal(error)


def internal(error: BaseException) -> InternalError:
    """A fault of gradcheck's own."""
    said = f": {error}" if str(error) else ""
    return InternalError("internal", f"a fault in gradcheck itself ({type(error).__name__}{said})", hint=PLEASE_REPORT)


def memory_limit(model: str) -> NotCompleted:
    """The memory that the measurement may take is spent."""
    return NotCompleted(
        "memory-limit",
        "the measurement needs more memory than it may take",
        hint="lower --batch-size, or raise --memory-limit",
        file=model,
    )


def exited(how: str, model: str) -> NotCompleted:
    """The model's own code ended the process, or tried to."""
    return NotCompleted(
        "model-exited",
        f"the model's own code {how} while it was measured",
        hint="let its forward return an output",
        file=model,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give `error` and what it was raised from, as a traceback shows them."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)
