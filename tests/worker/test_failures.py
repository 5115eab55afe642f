from __future__ import annotations

import errno

import pytest
import torch

from gradcheck_cli.errors import ExitStatus, ModelError, NotCompleted
from gradcheck_cli.worker.failures import explain


def chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "slug", "status"),
    [
        (MemoryError(), "memory-limit", 3),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory-limit", 3),
        (RuntimeError("std::bad_alloc"), "memory-limit", 3),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory-limit", 3),
        (chained(NotCompleted("forward-failed", "it raised MemoryError"), MemoryError()), "memory-limit", 3),
        (NotCompleted("out-of-memory", "no memory for a forward pass"), "memory-limit", 3),
        (NotCompleted("forward-failed", "it raised ValueError"), "forward-failed", 3),
        (chained(ModelError("damaged-file", "it is cut"), ValueError()), "damaged-file", 2),
        (SystemExit(7), "model-exited", 3),
        (KeyboardInterrupt(), "model-exited", 3),
        (OSError(errno.ENOENT, "No such file"), "internal", 70),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "internal", 70),
        (GeneratorExit(), "internal", 70),
    ],
)
def test_what_is_told(error: BaseException, slug: str, status: int) -> None:
    told = explain(error, model="m.pt")
    assert (told.slug, told.status) == (slug, ExitStatus(status))
    assert told.hint or told is error


def test_real_allocation_that_fails_is_the_memory_limit() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert explain(caught.value, model="m").slug == "memory-limit"


def test_model_is_named_where_no_file_is() -> None:
    assert explain(NotCompleted("forward-failed", "x"), model="m.pt").file == "m.pt"
    assert explain(NotCompleted("forward-failed", "x", file="data.npz"), model="m.pt").file == "data.npz"


def test_memory_error_that_was_dealt_with_does_not_count() -> None:
    error = NotCompleted("forward-failed", "x")
    error.__context__, error.__suppress_context__ = MemoryError(), True
    assert explain(error, model="m").slug == "forward-failed"
