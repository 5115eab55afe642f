"""The sample: the user's data, or an input made up from the model, fitted to it and cut into batches, with its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from gradcheck_cli.records import Sample, Subject

__all__ = ["draw"]


def draw(
    subject: Subject,
    data: object | None = None,
    *,
    target: object | None = None,
    loss: str | Callable[[Any, Any], Any] | None = None,
    batch_size: int = 32,
    batches: int = 4,
    seed: int = 0,
    mode: str = "train",
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    input_shape: str | Sequence[str] = (),
) -> Sample:
    """Return the sample that `subject` is measured on: at most `batches` batches of `batch_size` samples.

    `data` is the path of a file or folder, an entry point ``module:callable``, or in memory a tensor, array, tuple, list, dict,
    Dataset or DataLoader; None makes an input up from the model. `target` is a key of the data, a file, or a tensor.
    `input_shape` describes made-up inputs, or the size of images, as ``--input-shape`` does.
    `loss` is a name of the contract, ``module:callable``, or ``callable(output, target)``. Floating inputs come in
    `dtype`, or the model's own, on `device`, or the model's own; the model is tried in its own. One forward pass of the
    first batch checks the fit; the module, its buffers, modes and all random states are as before afterwards.

    Raises:
        SampleError: the data, target or loss is missing, broken, unsupported, or does not fit the model.
        NotCompleted: the model's own forward failed (``forward-failed``) or memory ran out (``out-of-memory``).
    """
    from gradcheck_cli.sample.drawing import draw_sample

    return draw_sample(
        subject,
        data,
        target=target,
        loss=loss,
        batch_size=batch_size,
        batches=batches,
        seed=seed,
        mode=mode,
        dtype=dtype,
        device=device,
        input_shape=input_shape,
    )
