"""Why a forward pass failed: does the data not fit the model, or is the model's own code at fault?"""

from __future__ import annotations

import dis
import re
from collections.abc import Mapping
from pathlib import PurePath
from types import FrameType, TracebackType

import torch

from gradcheck_cli.errors import GradcheckError, NotCompleted, SampleError
from gradcheck_cli.records import Batch, Subject
from gradcheck_cli.sample.arrays import inputs_of, shapes
from gradcheck_cli.sample.expectations import expected

LIBRARIES = frozenset({"torch", "torchvision", "torchaudio", "transformers", "timm", "einops"})
"""Packages whose own checks complain about the data, not about themselves."""

_ABOUT_DATA = re.compile(
    r"shape|(?<!re)size|dim|dtype|type|expect|channel|ind(ex|ices)|stride|match|broadcast|multipl|element|kernel|scalar|unpack"
    r"|length|must be|batch|argument|guard|feature|numel|value per",
    re.IGNORECASE,
)
_NEVER_DATA = re.compile(r"requires? grad|CUDA error|in-?place|list index", re.IGNORECASE)
_MEMORY = re.compile(r"out of memory|can't allocate|not enough memory", re.IGNORECASE)


def explain(error: Exception, subject: Subject, batch: Batch) -> GradcheckError:
    """Return what to raise for `error`, which the model's forward raised on `batch`.

    A `SampleError` (``data-does-not-fit``) with the shapes and dtypes of both, or a `NotCompleted` (``forward-failed``,
    ``out-of-memory``) with the exception and the innermost module and line.
    """
    given = shapes(inputs_of(batch))
    if isinstance(error, MemoryError) or _MEMORY.search(str(error)):
        hint = "use a smaller --batch-size"
        return NotCompleted("out-of-memory", f"no memory for a forward pass of {given}", hint=hint, file=subject.path)
    if is_about_data(error, batch):
        place, module = innermost_module(error, subject.module)
        wants = expected(subject, place, module)
        message = f"the model does not take this data: given {given}{wants}; torch says: {first_line(error)}"
        hint = "give the data in the shape and dtype that the model was made for"
        return SampleError("data-does-not-fit", message, hint=hint)
    message = (
        f"the model's own forward raised {type(error).__name__}: {first_line(error)}{where(error, subject.module)}"
    )
    return NotCompleted("forward-failed", message, hint=f"run it by hand on {given}", file=subject.path)


def is_about_data(error: Exception, batch: Batch) -> bool:
    """Tell whether the input's shapes, sizes, dtypes or indices are to blame.

    They are where an operator of torch, or a check of a library, says so. What the model's own code raises by hand, and
    every other kind of exception, is the model's.
    """
    text = str(error)
    frame, by_hand = _innermost(error)
    in_library = _package(frame) in LIBRARIES
    if by_hand and not in_library:
        return False
    if isinstance(error, NotImplementedError):
        return not by_hand and "not implemented for '" in text
    if isinstance(error, KeyError):
        return any(isinstance(value, Mapping) for value in (*batch.args, *batch.kwargs.values()))
    if isinstance(error, (AssertionError, TypeError)) and not in_library:
        return isinstance(error, TypeError) and ("Tensor" in text or "(position " in text)
    if not isinstance(error, (RuntimeError, ValueError, IndexError, TypeError, AssertionError)):
        return False
    return bool(_ABOUT_DATA.search(text)) and not _NEVER_DATA.search(text)


def is_models_own(error: Exception, batch: Batch) -> bool:
    """Tell whether `error` would come with any input, so that trying other shapes is of no use.

    Assertions and the like that the model's own code raises may well be about the shape; a missing attribute of the
    model, a division by zero, a name that is not defined, are not.
    """
    if is_about_data(error, batch):
        return False
    if isinstance(error, AttributeError):
        frame, _ = _innermost(error)
        return _package(frame) == "torch" and frame is not None and frame.f_code.co_name == "__getattr__"
    shape_like = (AssertionError, ValueError, TypeError, LookupError)
    return not isinstance(error, shape_like)


def first_line(error: BaseException) -> str:
    """Return the first line of the message, at most 300 characters; empty messages give a word in their place."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:300] if lines else "(no message)"


def innermost_module(error: Exception, root: torch.nn.Module) -> tuple[str, torch.nn.Module | None]:
    """Return the path and the module whose forward was running when `error` was raised; ``("", None)`` if not known."""
    names = {id(module): name for name, module in root.named_modules()}
    found: tuple[str, torch.nn.Module | None] = ("", None)
    for frame in _frames(error.__traceback__):
        owner = frame.f_locals.get("self")
        if isinstance(owner, torch.nn.Module) and id(owner) in names:
            found = (names[id(owner)], owner)
    return found


def where(error: Exception, root: torch.nn.Module) -> str:
    """Return ``, in block.1 (Block) at model.py:12``: the innermost module, and line outside torch, as far as known."""
    path, module = innermost_module(error, root)
    inside = f" in {path or 'the model itself'} ({type(module).__name__})" if module is not None else ""
    at = ""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if _package(frame) not in LIBRARIES and _package(frame) != "gradcheck_cli":
            at = f" at {PurePath(frame.f_code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return f",{inside}{at}" if inside or at else ""


def _frames(traceback: TracebackType | None) -> list[FrameType]:
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def _innermost(error: Exception) -> tuple[FrameType | None, bool]:
    """Return the frame that raised, and whether by a ``raise`` or ``assert`` statement rather than from native code."""
    traceback = error.__traceback__
    if traceback is None:
        return None, False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code.co_code
    at = traceback.tb_lasti
    by_hand = 0 <= at < len(code) and dis.opname[code[at]] in ("RAISE_VARARGS", "RERAISE")
    return traceback.tb_frame, by_hand


def _package(frame: FrameType | None) -> str:
    return "" if frame is None else str(frame.f_globals.get("__name__", "")).split(".")[0]
