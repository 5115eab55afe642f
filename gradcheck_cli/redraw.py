"""Initialisation at risk: draw the same architecture again and again, and count how often each verdict comes.

What is drawn: for a Python entry point, another call of it; for a transformers model, another one of its configuration; else every
module's own ``reset_parameters``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from gradcheck_cli.judge import judge
from gradcheck_cli.readings import Readings, Redraws
from gradcheck_cli.records import Sample, Subject, Verdict

if TYPE_CHECKING:
    import torch
    from torch import nn

Progress = Callable[[str, int, int], None]
"""Called with (stage, draws done, draws in all)."""

_RESETS = ("reset_parameters", "_reset_parameters")
"""Names under which torch's modules draw their own parameters."""


def redraw(
    subject: Subject,
    sample: Sample,
    readings: Readings,
    *,
    draws: int,
    seed: int = 0,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Readings:
    """Measure `draws` initialisations of the architecture on the same sample, and add to `readings` how they were judged."""
    from gradcheck_cli.probe import look

    fresh, why = _factory(subject)
    if fresh is None:
        return msgspec.structs.replace(readings, not_measured=(*readings.not_measured, ("initialisation", why)))
    verdicts: Counter[str] = Counter()
    culprits: Counter[str] = Counter()
    with _as_it_was(subject):
        for number in range(draws):
            progress("drawing initialisations", number, draws)
            other = replace(subject, module=fresh(seed + 1 + number))
            found = judge(look(other, sample, mode=readings.mode, seed=seed))
            verdicts[found.verdict.value] += 1
            if found.verdict is Verdict.DEAD:
                culprits.update(found.culprits[:1])
    least, most = wilson(verdicts[Verdict.DEAD.value], draws)
    return msgspec.structs.replace(
        readings,
        redraws=Redraws(
            draws=draws,
            verdicts=dict(sorted(verdicts.items())),
            dead_least=least,
            dead_most=most,
            layer=next(iter(name for name, _ in culprits.most_common(1)), None),
        ),
    )


def wilson(found: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen `found` times in `of` trials (Wilson 1927); (0, 1) for none."""
    if not of:
        return 0.0, 1.0
    z, share = 1.959964, found / of
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, (middle - half) / (1 + z * z / of)), min(1.0, (middle + half) / (1 + z * z / of))


def _factory(subject: Subject) -> tuple[Callable[[int], nn.Module] | None, str]:
    """What draws the architecture with a seed; None and the reason where nothing can."""
    import torch

    module = subject.module

    def seeded(make: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
        def draw(seed: int) -> nn.Module:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return make()

        return draw

    if subject.format == "entry-point":
        from gradcheck_cli.loaders import load

        return seeded(lambda: load(subject.path).module), ""
    config = getattr(module, "config", None)
    if config is not None and hasattr(module, "init_weights"):
        return seeded(lambda: type(module)(config)), ""  # a transformers model
    missing = [
        name
        for name, child in module.named_modules()
        if not _resets(child) and any(p.ndim > 1 for p in child._parameters.values() if p is not None)
    ]
    if missing or not any(map(_resets, module.modules())):
        which = f"{missing[0] or 'the model itself'} has" if missing else "its modules have"
        return None, f"{which} no reset_parameters; give the model as a Python entry point module:callable"
    return seeded(lambda: _reset(module)), ""


def _resets(module: nn.Module) -> bool:
    return any(callable(getattr(module, name, None)) for name in _RESETS)


def _reset(module: nn.Module) -> nn.Module:
    """Draw every module anew, in place; what contains others comes after them, since it may draw them its own way."""
    import torch

    with torch.no_grad():
        for child in reversed(list(module.modules())):
            method = next((getattr(child, name) for name in _RESETS if callable(getattr(child, name, None))), None)
            if method is not None:
                method()
    return module


@contextmanager
def _as_it_was(subject: Subject) -> Iterator[None]:
    """Put parameters and buffers back at the end, whatever happens."""
    import torch

    held: list[tuple[torch.Tensor, torch.Tensor]] = [
        (tensor, tensor.detach().clone()) for tensor in (*subject.module.parameters(), *subject.module.buffers())
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in held:
                tensor.copy_(value)
