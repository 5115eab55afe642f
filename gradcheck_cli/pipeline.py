"""The whole measurement in one sentence: load, draw a sample, look, judge, advise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gradcheck_cli.errors import UsageError
from gradcheck_cli.records import Diagnosis, Request, Subject

if TYPE_CHECKING:
    import torch


Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``; a total of 0 where it is not known."""


def diagnose(
    model: str | os.PathLike[str] | torch.nn.Module,
    data: Any = None,
    *,
    earlier: Sequence[str | os.PathLike[str]] = (),
    target: Any = None,
    input_shape: str | Sequence[str] = (),
    loss: str | Callable[[Any, Any], torch.Tensor] | None = None,
    arch: str | None = None,
    trust: bool = False,
    parity: bool = True,
    batch_size: int = 32,
    batches: int = 4,
    mode: Literal["train", "eval"] = "train",
    rehearse: int = 20,
    optimizer: Literal["sgd", "momentum", "adam", "adamw"] = "sgd",
    lr: float | None = None,
    dtype: str | None = None,
    device: str | None = None,
    reinit: int = 0,
    precision: Literal["fp16", "bf16", "fp32"] | None = None,
    seed: int = 0,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    progress: Progress | None = None,
) -> Diagnosis:
    """Measure a model in this process and return the whole result; the model is left as found, nothing is printed.

    `model` is a module, the path of a saved one, or a Python entry point ``package.module:attribute``; `data` is a
    tensor, tuple or dict of them, or a path as on the command line; None makes up a sample, in the shapes of
    `input_shape` if given (``"3,32,32"``, ``"input_ids=16:int64"``). `earlier` are checkpoints of the same run before
    `model`, the oldest first. The other options are those of ``gradcheck diagnose``. Raises the classes of
    `gradcheck_cli.errors`.
    """
    from gradcheck_cli.assemble import diagnosis_of
    from gradcheck_cli.checkpoints import follow
    from gradcheck_cli.judge import check_selection, judge
    from gradcheck_cli.probe import look, settle_zeros, what_if
    from gradcheck_cli.redraw import redraw
    from gradcheck_cli.rehearsal import rehearse as rehearsed
    from gradcheck_cli.remedies import advise, with_remedies
    from gradcheck_cli.sample import draw

    if rehearse < 0:
        raise UsageError("wrong-option", f"rehearse={rehearse} is no number of steps", hint="0 turns the rehearsal off")
    check_selection(select, ignore)
    tell = progress or _silent

    tell("loading the model", 0, 0)
    subject = _placed_at(model, arch=arch, trust=trust, device=device, dtype=dtype)
    tell("drawing the sample", 0, 0)
    sample = draw(
        subject,
        data,
        target=target,
        input_shape=input_shape,
        loss=loss,
        batch_size=batch_size,
        batches=batches,
        seed=seed,
        mode=mode,
        dtype=dtype,
        device=device,
    )
    if parity and subject.parity is not None and dtype is None:
        tell("comparing with ONNX Runtime", 0, 0)
        subject = replace(subject, remarks=(*subject.remarks, *subject.parity(sample.batches[0])))
    readings = look(subject, sample, mode=mode, lr=lr, optimizer=optimizer, seed=seed, progress=tell)
    readings = settle_zeros(subject, sample, readings, seed=seed)
    if precision is not None:
        tell(f"asking what {precision} would lose", 0, 0)
        readings = what_if(subject, sample, readings, precision=precision, seed=seed)
    if earlier:
        loads = [partial(_placed_at, path, arch=arch, trust=trust, device=device, dtype=dtype) for path in earlier]
        readings = follow(subject, loads, sample, readings, seed=seed, progress=tell)
    if reinit:
        readings = redraw(subject, sample, readings, draws=reinit, seed=seed, progress=tell)
    readings = rehearsed(subject, sample, readings, steps=rehearse, seed=seed, progress=tell)
    judgement = judge(readings, select=tuple(select), ignore=tuple(ignore))
    remedies = advise(judgement.findings, judgement.layers)
    findings = with_remedies(judgement.findings, judgement.layers)
    return diagnosis_of(subject, sample, readings, judgement, findings, remedies)


def run(request: Request, progress: Progress) -> Diagnosis:
    """Measure as `request` asks; raises as `diagnose` does."""
    return diagnose(**msgspec.structs.asdict(request), progress=progress)


def _placed_at(
    model: str | os.PathLike[str] | torch.nn.Module,
    *,
    arch: str | None,
    trust: bool,
    device: str | None,
    dtype: str | None,
) -> Subject:
    return _placed(_subject(model, arch=arch, trust=trust), device=device, dtype=dtype)


def _subject(model: str | os.PathLike[str] | torch.nn.Module, *, arch: str | None, trust: bool) -> Subject:
    from gradcheck_cli.loaders import adopt, load

    if isinstance(model, (str, os.PathLike)):
        return load(os.fspath(model), arch=arch, trust=trust)
    return adopt(model)


def _placed(subject: Subject, *, device: str | None, dtype: str | None) -> Subject:
    """Move a loaded model to where, and to what, it is to be measured in; a caller's own module stays as it is."""
    if device is None and dtype is None:
        return subject
    if subject.format == "in-memory":
        raise UsageError(
            "not-moved", "device and dtype are for models that are loaded", hint="call module.to(...) before diagnose"
        )
    import torch

    try:
        wanted = None if dtype is None else getattr(torch, dtype.removeprefix("torch."))
        subject.module.to(device=device, dtype=wanted)
    except (AttributeError, RuntimeError, TypeError, AssertionError) as error:
        what = " ".join(f"{option} {value}" for option, value in (("--device", device), ("--dtype", dtype)) if value)
        raise UsageError(
            "unusable-device", f"{what}: {str(error).splitlines()[0][:200]}", hint="leave it out, or name another"
        ) from error
    return subject


def _silent(stage: str, done: int, total: int) -> None:
    """Take no notice."""
