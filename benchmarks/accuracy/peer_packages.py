"""Packages of others, none of them a dependency: ``pip install --target FOLDER torchmortem torchdiag model-clinic plotly``.

- torchmortem 0.1 watches a training loop: it gets as many steps as a rehearsal, twenty, of the case's optimiser, at the
  case's rate or 0.01 (0.001 for Adam). A verdict is its worst critical finding about gradients, units, saturation, weights
  or the loss; warnings and what it says of rank or noise are not held against it.
- torchdiag 0.1 looks at gradients after one backward pass (EXPLODE, VANISH, NO GRAD) and at dead neurons of activation
  modules; only its CRITICAL counts there.
- model-clinic 0.4 reads weights alone; of its findings those of severity ERROR count, and of the warnings
  `exploding_norm` and `vanishing_norm`.

A package that is not installed has no row.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from typing import Any

from torch import Tensor, nn

from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Problem
from .trained import STEPPERS

LossOf = Callable[[Problem, Any, Any], Tensor]
Package = Callable[[Problem, LossOf], str]

WORST = (DEAD, EXPLODING, VANISHING, HEALTHY)
STEPS = 20


def _worst(verdicts: set[str]) -> str:
    return min(verdicts | {HEALTHY}, key=WORST.index)


def _copy(problem: Problem) -> nn.Module:
    net = copy.deepcopy(problem.module).train(problem.mode == "train")
    if not any(p.requires_grad for p in net.parameters()):
        net.requires_grad_(True)
    return net


def torchmortem(problem: Problem, loss_of: LossOf) -> str:
    """Twenty steps under its hooks, each looked at but for rank and curvature, which no verdict comes from."""
    package = importlib.import_module("torchmortem")

    logging.getLogger("torchmortem").setLevel(logging.CRITICAL)
    net = _copy(problem)
    rate = problem.lr or (0.001 if problem.optimizer.startswith("adam") else 0.01)
    stepper = STEPPERS[problem.optimizer]([p for p in net.parameters() if p.requires_grad], lr=rate)
    targets = problem.targets or [None] * len(problem.batches)
    autopsy = package.Autopsy(net, optimizer=stepper, sampling=package.SamplingConfig(expensive_interval=1000))
    autopsy.attach()
    warnings.simplefilter("ignore", UserWarning)  # of its hooks
    for inputs, target in islice(cycle(zip(problem.batches, targets, strict=True)), STEPS):
        stepper.zero_grad()
        loss = loss_of(problem, net(*inputs), target)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        stepper.step()
        autopsy.step(loss=float(loss.detach()))
    autopsy.detach()
    return _worst({_mortem_kind(finding) for finding in autopsy.get_report().findings})


def _mortem_kind(finding: Any) -> str:
    if finding.severity.name != "CRITICAL":
        return HEALTHY
    title = finding.title.lower()
    kinds = {"dead units": DEAD, "vanishing": VANISHING, "saturation": VANISHING, "ratio too low": VANISHING}
    kinds |= {"exploding": EXPLODING, "divergence": EXPLODING, "ratio too high": EXPLODING, "explosion": EXPLODING}
    return next((kind for part, kind in kinds.items() if part in title), HEALTHY)


def torchdiag(problem: Problem, loss_of: LossOf) -> str:
    """Its two checks, printed into nothing."""
    package = importlib.import_module("torchdiag")

    net = _copy(problem)
    targets = problem.targets or [None] * len(problem.batches)
    for inputs, target in zip(problem.batches, targets, strict=True):
        loss = loss_of(problem, net(*inputs), target)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
    for parameter in net.parameters():
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()
    with contextlib.redirect_stdout(io.StringIO()):
        gradients = package.check_gradients(net)
        units: dict[str, Any] = {}
        if len(problem.batches[0]) == 1:
            units = package.check_dead_neurons(net, problem.batches[0][0])
    kinds = {"EXPLODE": EXPLODING, "VANISH": VANISHING, "no_grad": DEAD}
    said = {kinds.get(each["status"], HEALTHY) for each in gradients.values()}
    if any(layer["dead_pct"] > 50 for layer in units.values()):
        said.add(DEAD)
    return _worst(said)


def model_clinic(problem: Problem, _loss_of: LossOf) -> str:
    """Its reading of the weights."""
    diagnose = importlib.import_module("model_clinic").diagnose

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        findings = diagnose(_copy(problem).state_dict(), plugins=False)
    kinds = {"dead_neurons": DEAD, "nan_inf": EXPLODING, "exploding_norm": EXPLODING, "vanishing_norm": VANISHING}
    warned = {"exploding_norm", "vanishing_norm"}
    return _worst({kinds.get(f.condition, HEALTHY) for f in findings if f.severity == "ERROR" or f.condition in warned})


PACKAGES: Mapping[str, Package] = {"torchmortem": torchmortem, "torchdiag": torchdiag, "model_clinic": model_clinic}


def available() -> dict[str, Package]:
    """Title → how to ask it, of those that are installed."""
    return {name.replace("_", "-"): ask for name, ask in PACKAGES.items() if importlib.util.find_spec(name) is not None}
