"""The record of one labelled case, data makers, and proofs of a label in plain torch, independent of any tool."""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Built = tuple[nn.Module, Any, dict[str, Any]]
Proof = Callable[[nn.Module, Any, dict[str, Any]], str]
CASES: list[Case] = []


@dataclass(frozen=True)
class Case:
    """A network whose verdict is known for a reason of its own; `proof` raises AssertionError where it is not so."""

    name: str
    build: Callable[[], Built]
    label: str
    kind: str
    why: str
    proof: Proof
    culprits: tuple[str, ...] = ()
    layers: Mapping[str, str] = field(default_factory=dict)

    def make(self) -> Built:
        """Build with a seed of the name alone."""
        torch.manual_seed(zlib.crc32(self.name.encode()) % 2**31)
        return self.build()


def add(
    name: str,
    label: str,
    kind: str,
    why: str,
    proof: Proof,
    build: Callable[[], Built],
    culprits: tuple[str, ...] = (),
    layers: Mapping[str, str] | None = None,
) -> None:
    """Register a case."""
    CASES.append(Case(name, build, label, kind, why, proof, culprits, dict(layers or {})))


def prove(case: Case) -> str:
    """The evidence of a case. Raises AssertionError where its label does not hold."""
    net, data, options = case.make()
    torch.manual_seed(5)
    names = {name for name, _ in net.named_modules()} | {name for name, _ in net.named_parameters()}
    for name in (*case.culprits, *case.layers):
        assert name.endswith("()") or name in names, f"no layer {name}"
    return case.proof(net, data, options)


# ---------------------------------------------------------------- data


def blobs(n: int = 64, d: int = 16, k: int = 4, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Gaussian classes of unit variance overall: x (n, d), y (n,)."""
    y = torch.arange(n) % k
    x = torch.randn(k, d)[y] + spread * torch.randn(n, d)
    return (x - x.mean(0)) / x.std(0), y


def images(n: int = 48, c: int = 3, s: int = 12, k: int = 4) -> tuple[Tensor, Tensor]:
    """Noisy class templates: x (n, c, s, s), y (n,)."""
    y = torch.arange(n) % k
    return torch.randn(k, c, s, s)[y] + 0.5 * torch.randn(n, c, s, s), y


def regress(n: int = 64, d: int = 8, out: int = 1) -> tuple[Tensor, Tensor]:
    """A smooth target: x (n, d), y (n, out)."""
    x = torch.randn(n, d)
    return x, torch.tanh(x @ torch.randn(d, out)) + 0.3 * x[:, :1]


def tokens(n: int = 32, s: int = 12, v: int = 20) -> tuple[Tensor, Tensor]:
    """Counting sequences, next-token targets: x (n, s), y (n, s)."""
    t = (torch.randint(0, v, (n, 1)) + torch.randint(1, 4, (n, 1)) * torch.arange(s + 1)) % v
    return t[:, :-1].contiguous(), t[:, 1:].contiguous()


def series(n: int = 32, s: int = 20, d: int = 3, k: int = 3) -> tuple[Tensor, Tensor]:
    """Sequences whose class is a frequency: x (n, s, d), y (n,)."""
    y = torch.arange(n) % k
    t = torch.linspace(0, 6.28, s)
    w = torch.sin((y[:, None] + 1) * t[None] + 0.3 * torch.randn(n, 1))
    return w[:, :, None] * torch.randn(1, 1, d) + 0.2 * torch.randn(n, s, d), y


def ce(out: Tensor, y: Tensor) -> Tensor:
    """Cross entropy over the last axis of any shape."""
    return nn.functional.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1))


# ---------------------------------------------------------------- plain-torch instruments


def loss_function(options: dict[str, Any]) -> Callable[[Any, Any], Tensor]:
    """The loss that the options name; cross-entropy where they name none."""
    loss = options.get("loss", "cross-entropy")
    if callable(loss):
        given: Callable[[Any, Any], Tensor] = loss
        return given
    named: dict[str, Callable[[Any, Any], Tensor]] = {
        "cross-entropy": nn.functional.cross_entropy,
        "mse": nn.functional.mse_loss,
        "l1": nn.functional.l1_loss,
        "bce": nn.functional.binary_cross_entropy_with_logits,
        "nll": nn.functional.nll_loss,
    }
    return named[loss]


def split(data: Any) -> tuple[tuple[Any, ...], Any]:
    """Inputs and target of a sample."""
    return tuple(data[:-1]), data[-1]


def floats(out: Any) -> list[Tensor]:
    """Every differentiable tensor of an output."""
    if isinstance(out, Tensor):
        return [out] if out.is_floating_point() and out.requires_grad else []
    values = out.values() if isinstance(out, dict) else out
    return [t for o in values for t in floats(o)]


def signals(model: nn.Module, data: Any, n: int = 4) -> dict[str, float]:
    """Root mean square over cotangents of ‖∂(v·out)/∂W‖/‖v‖ for each parameter; a missing gradient is -1."""
    model = copy.deepcopy(model).train()
    xs, _ = split(data)
    total = {k: 0.0 for k, _ in model.named_parameters()}
    seen: set[str] = set()
    for _ in range(n):
        model.zero_grad(set_to_none=True)
        outs = floats(model(*xs))
        vs = [torch.randint(0, 2, o.shape).to(o.dtype) * 2 - 1 for o in outs]
        norm = math.sqrt(sum(v.numel() for v in vs)) or 1.0
        if outs:
            torch.autograd.backward(outs, vs)
        for k, p in model.named_parameters():
            if p.grad is not None:
                seen.add(k)
                total[k] += float(p.grad.norm() / norm) ** 2 / n
    return {k: math.sqrt(v) if k in seen else -1.0 for k, v in total.items()}


def train(
    model: nn.Module, data: Any, options: dict[str, Any], steps: int, opt: str = "sgd", lr: float = 0.01
) -> tuple[list[float], dict[str, float], nn.Module]:
    """Plain training on the whole sample: losses, relative movement of each parameter, the trained copy."""
    model = copy.deepcopy(model).train()
    xs, y = split(data)
    loss_of = loss_function(options)
    ps = [p for p in model.parameters() if p.requires_grad]
    optimizers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(ps, lr),
        "momentum": lambda: torch.optim.SGD(ps, lr, 0.9),
        "adam": lambda: torch.optim.Adam(ps, lr),
        "adamw": lambda: torch.optim.AdamW(ps, lr),
    }
    o = optimizers[opt]()
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    losses = []
    for _ in range(steps):
        o.zero_grad()
        loss = loss_of(model(*xs), y)
        losses.append(float(loss.detach()))
        if not loss.requires_grad or not math.isfinite(losses[-1]):
            break
        loss.backward()  # type: ignore[no-untyped-call]
        o.step()
    moved = {
        k: float((p.detach() - before[k]).norm() / before[k].norm().clamp_min(1e-12))
        for k, p in model.named_parameters()
    }
    return losses, moved, model


def weights_of(model: nn.Module, layer: str) -> list[str]:
    """Names of the weight matrices (2-D and more) of a layer."""
    got = [k for k, p in model.named_parameters() if (k == layer or k.startswith(layer + ".")) and p.ndim >= 2]
    assert got, f"no weights under {layer}"
    return got


# ---------------------------------------------------------------- proofs


def learns(drop: float = 0.2, steps: int = 60, opt: str = "adam", lr: float = 3e-3) -> Proof:
    """The loss falls by `drop` in plain training (with the case's own optimiser and lr where it gives them)."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        o = options.get("optimizer", "sgd" if "lr" in options else opt)
        rate = options.get("lr", lr)
        losses, _, _ = train(model, data, options, steps, o, rate)
        end = sum(losses[-5:]) / 5
        assert len(losses) == steps, f"{len(losses)} of {steps} steps"
        assert losses[0] - end >= drop * abs(losses[0]), f"{losses[0]:.4g} -> {end:.4g}"
        return f"{o} {rate}: loss {losses[0]:.4g} -> {end:.4g} in {steps} steps"

    return proof


def no_gradient(*layers: str) -> Proof:
    """The layers' weights get no gradient, for several cotangents, at once and after 40 steps of SGD."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        names = [k for n in layers for k in weights_of(model, n)]
        trained = train(model, data, options, 40, "sgd", options.get("lr", 0.01))[2]
        adam = train(model, data, options, 40, "adam", 1e-3)[2]
        for when, m in (("before", model), ("after SGD", trained), ("after Adam", adam)):
            s = signals(m, data)
            bad = {k: s[k] for k in names if s[k] > 0}
            assert not bad, f"{when}: {bad}"
        return "no gradient (None or 0) before and after 40 steps of SGD and Adam: " + ", ".join(layers)

    return proof


def activity(model: nn.Module, data: Any, layer: str) -> float:
    """Share of units of module `layer` whose output is at or below zero-slope (0) on every sample and position."""
    model = copy.deepcopy(model).train()
    outs: list[Tensor] = []
    dict(model.named_modules())[layer].register_forward_hook(lambda _m, _i, o: outs.append(o.detach()))
    with torch.no_grad():
        model(*split(data)[0])
    o = torch.cat(
        [t.movedim(1, -1).reshape(-1, t.shape[1]) if t.ndim == 4 else t.reshape(-1, t.shape[-1]) for t in outs]
    )
    return float((o.abs() < 1e-9).all(0).float().mean())


def silent(layer: str, share: float = 0.5) -> Proof:
    """At least `share` of the units of the ReLU `layer` are 0 on every sample, before and after 40 SGD and Adam steps."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        a = activity(model, data, layer)
        b = activity(train(model, data, options, 40, "sgd", options.get("lr", 0.01))[2], data, layer)
        c = activity(train(model, data, options, 40, "adam", 1e-3)[2], data, layer)
        assert min(a, b, c) >= share, (a, b, c)
        return f"silent units of {layer}: {a:.2f}, after SGD {b:.2f}, after Adam {c:.2f}"

    return proof


def weak(layer: str, below: float = 1e-4, moved: float = 1e-3, steps: int = 60) -> Proof:
    """U/‖W‖ of `layer` is `below` times the model's strongest, and plain SGD hardly moves it; the gradient is not 0."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        s = signals(model, data)
        size = {k: float(p.detach().norm()) for k, p in model.named_parameters() if p.ndim >= 2}
        rel = {k: s[k] / v for k, v in size.items() if v > 0}
        mine = max(rel[k] for k in weights_of(model, layer))
        ratio = mine / max(*rel.values(), 0.1)
        losses, moves, _ = train(model, data, options, steps, "sgd", options.get("lr", 0.01))
        most = max(moves[k] for k in weights_of(model, layer))
        assert ratio <= below, f"U ratio {ratio:.2g}, moved {most:.2g}"
        assert most <= moved, f"U ratio {ratio:.2g}, moved {most:.2g}"
        course = f"moved {most:.2g} in {steps} SGD steps, loss {losses[0]:.4g} -> {losses[-1]:.4g}"
        return f"U/W of {layer} {mine:.2g} ({ratio:.2g} of the best), {course}"

    return proof


def strong(layer: str, above: float = 1e3) -> Proof:
    """‖∂(v·out)/∂W‖/‖W‖ of `layer` is far above 1, and SGD at 0.01 (or the case's lr) does not lower the loss."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        s = signals(model, data)
        size = {k: float(p.detach().norm()) for k, p in model.named_parameters()}
        mine = max(s[k] / size[k] for k in weights_of(model, layer))
        losses, _, _ = train(model, data, options, 20, "sgd", options.get("lr", 0.01))
        bad = (
            not math.isfinite(losses[-1])
            or max(losses) > 3 * losses[0]
            or losses[-1] > 0.9 * losses[0]
            or losses[0] > 1e4
        )
        told = f"U/W {mine:.2g}, losses {losses[0]:.3g} {max(losses):.3g} {losses[-1]:.3g}"
        assert mine >= above, told
        assert bad, told
        return f"U/W of {layer} {mine:.2g}; SGD: loss {losses[0]:.3g}, max {max(losses):.3g}, last {losses[-1]:.3g}"

    return proof


def diverges(steps: int = 60) -> Proof:
    """With the case's own optimiser and lr the loss becomes non-finite or at least 5 times the first, and stays up."""

    def proof(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
        losses, _, _ = train(model, data, options, steps, options.get("optimizer", "sgd"), options["lr"])
        tail = losses[-1]
        assert not math.isfinite(tail) or min(losses[2:]) > 5 * losses[0] or tail > 20 * losses[0], (
            losses[:5] + losses[-3:]
        )
        return f"loss {losses[0]:.3g} -> {losses[-1]:.3g} after {len(losses)} steps"

    return proof


def nonfinite(model: nn.Module, data: Any, options: dict[str, Any]) -> str:
    """A weight, an output or a gradient is NaN or infinite in the first pass."""
    bad = [k for k, p in model.named_parameters() if not torch.isfinite(p).all()]
    s = signals(model, data, 2)
    grads = [k for k, v in s.items() if not math.isfinite(v)]
    with torch.no_grad():
        outs = copy.deepcopy(model)(*split(data)[0])
    loss = float(loss_function(options)(outs, split(data)[1]))
    assert bad or grads or not math.isfinite(loss), (bad, grads, loss)
    return f"non-finite weights {bad}, gradients {grads[:4]}, loss {loss}"


def both(*proofs: Proof) -> Proof:
    """All proofs hold."""
    return lambda m, d, o: "; ".join(p(m, d, o) for p in proofs)
