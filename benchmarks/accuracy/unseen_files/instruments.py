"""What a file case is, and the plain-torch instruments that prove its label."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Data = dict[str, Tensor]
Proof = Callable[["Case"], tuple[bool, str]]


def unproven(_case: Case) -> tuple[bool, str]:
    """Nothing is shown."""
    return False, "no proof"


@dataclass(frozen=True)
class Case:
    """One file with its data; what it is proven to be, and the proof."""

    name: str
    kind: str
    verdict: str
    make: Callable[[], nn.Module]
    data: Data | None = None
    form: str = "module"  # module, entry, state, pt2, onnx; onnx2 and onnxeval: in eval mode, by the newer and the older exporter
    options: dict[str, Any] = field(default_factory=dict)
    culprits: tuple[str, ...] = ()  # acceptable; empty: any name
    layers: dict[str, str] = field(default_factory=dict)  # a|b: either
    proof: Proof = unproven
    sample: Data | None = None  # what the proof uses when the tool gets no data

    def inputs(self) -> tuple[Tensor, ...]:
        """What the model takes, in order."""
        d = self.data if self.data is not None else self.sample
        assert d is not None
        return tuple(v for k, v in d.items() if k != "y")

    def target(self) -> Tensor | None:
        """The target, if there is one."""
        d = self.data if self.data is not None else self.sample
        return None if d is None else d.get("y")


def flat(out: Any) -> list[Tensor]:
    """The floating tensors of an output, in order."""
    if isinstance(out, Tensor):
        return [out] if out.is_floating_point() else []
    if isinstance(out, dict):
        out = list(out.values())
    return [t for o in out for t in flat(o)] if isinstance(out, (tuple, list)) else []


def ask(model: nn.Module, x: tuple[Tensor, ...], seeds: int = 3) -> tuple[dict[str, float], dict[str, float], Any]:
    """T per leaf module, U per parameter (max over questions), and the output."""
    reach: dict[str, float] = {}
    heard: dict[str, float] = {}
    out = None
    for s in range(seeds):
        ys: dict[str, Tensor] = {}
        hs = []
        for n, m in model.named_modules():
            if next(m.children(), None) is None or isinstance(m, nn.MultiheadAttention):

                def hook(_module: nn.Module, _inputs: Any, o: Any, n: str = n, ys: dict[str, Tensor] = ys) -> None:
                    f = [t for t in flat(o) if t.requires_grad]
                    if f:
                        ys[n] = f[0]

                hs.append(m.register_forward_hook(hook))
        torch.manual_seed(100 + s)
        out = model(*x)
        for h in hs:
            h.remove()
        g = torch.Generator().manual_seed(s)
        o = [t for t in flat(out) if t.requires_grad]
        if not o:
            return {}, {}, out
        vs = [torch.randint(0, 2, t.shape, generator=g).to(t.dtype) * 2 - 1 for t in o]
        vn = float(torch.sqrt(sum((v**2).sum() for v in vs)))
        ps = {n: p for n, p in model.named_parameters() if p.requires_grad}
        asked = sum((v * t).sum() for v, t in zip(vs, o, strict=False))
        gr = torch.autograd.grad(asked, list(ys.values()) + list(ps.values()), allow_unused=True)
        k = len(ys)
        for n, gg in zip(ys, gr[:k], strict=False):
            reach[n] = max(
                reach.get(n, 0.0),
                float("nan")
                if gg is not None and not torch.isfinite(gg).all()
                else (0.0 if gg is None else float(gg.double().norm()) / vn),
            )
        for n, gg in zip(ps, gr[k:], strict=False):
            heard[n] = max(heard.get(n, -1.0), -1.0 if gg is None else float(gg.double().norm()) / vn)
    return reach, heard, out


def loss_of(out: Any, y: Tensor) -> Tensor:
    """Cross-entropy of integer targets, else the mean squared error."""
    o = flat(out)[0]
    if not y.is_floating_point():
        if o.dim() == 3:
            o = o.flatten(0, 1)
            y = y.flatten()
        return nn.functional.cross_entropy(o, y)
    return nn.functional.mse_loss(o, y.reshape(o.shape))


def train(
    model: nn.Module,
    x: tuple[Tensor, ...],
    y: Tensor,
    steps: int,
    lr: float,
    opt: str = "adam",
    batch: int = 64,
    seed: int = 0,
) -> list[float]:
    """Train it in place; the loss of each step."""
    torch.manual_seed(seed)
    ps = [p for p in model.parameters() if p.requires_grad]
    o: torch.optim.Optimizer = (
        torch.optim.Adam(ps, lr)
        if opt == "adam"
        else torch.optim.SGD(ps, lr, momentum=0.9 if opt == "momentum" else 0.0)
    )
    hist = []
    model.train()
    n = y.shape[0]
    for _ in range(steps):
        i = torch.randperm(n)[:batch]
        o.zero_grad()
        loss = loss_of(model(*[t[i] for t in x]), y[i])
        loss.backward()
        o.step()
        hist.append(float(loss.detach()))
    return hist


@dataclass(frozen=True)
class Asserted:
    """No measurement: the label follows from how the net is built, or from its default initialisation."""

    why: str

    def __call__(self, _case: Case) -> tuple[bool, str]:
        """It holds."""
        return True, self.why


# ---- proofs -------------------------------------------------------------
def p_transmission(layer: str, lo: float, hi: float) -> Callable[[Case], tuple[bool, str]]:
    """T at one layer lies in [lo, hi]."""

    def go(c: Case) -> tuple[bool, str]:
        reach, _, _ = ask(c.make().train(), c.inputs())
        t = reach.get(layer, 0.0)
        return lo <= t <= hi, f"T[{layer}]={t:.2e}"

    return go


def p_healthy(
    lo: float = 1e-3,
    hi: float = 1e3,
    drop: float = 0.9,
    steps: int = 60,
    lr: float = 3e-3,
    gated: bool = False,
    zero_ok: tuple[str, ...] = (),
) -> Callable[[Case], tuple[bool, str]]:
    """Every trainable weight is asked (or the case is gated), T in a healthy band, and training really lowers the loss."""

    def go(c: Case) -> tuple[bool, str]:
        m = c.make().train()
        reach, heard, _out = ask(m, c.inputs())
        tr = [v for k, v in reach.items() if not any(z in k for z in zero_ok)]
        bad = [k for k, v in heard.items() if v <= 0 and k.endswith("weight") and not any(z in k for z in zero_ok)]
        ok = gated or (not bad and all(lo <= v <= hi for v in tr))
        msg = f"T {min(tr, default=0):.1e}..{max(tr, default=0):.1e} nograd={bad[:3]}"
        y = c.target()
        if y is not None and drop:
            h = train(copy.deepcopy(m), c.inputs(), y, steps, lr, batch=min(64, y.shape[0]))
            ok &= h[-1] < drop * h[0]
            msg += f" loss {h[0]:.3f}->{h[-1]:.3f}"
        return bool(ok), msg

    return go


def p_dead(layer: str, share: tuple[float, float] = (0.5, 1.0)) -> Callable[[Case], tuple[bool, str]]:
    """The share of units of an activation whose input is <= 0 on every sample and position."""

    def go(c: Case) -> tuple[bool, str]:
        m = c.make().train()
        got: list[Tensor] = []
        mod = dict(m.named_modules())[layer]
        h = mod.register_forward_pre_hook(lambda _module, a: got.append(a[0].detach()))
        m(*c.inputs())
        h.remove()
        a = got[0]
        a = a.transpose(1, -1).flatten(0, -2) if a.dim() == 4 else a.flatten(0, -2)
        d = float((a.amax(0) <= 0).float().mean())
        return share[0] <= d <= share[1], f"dead share {layer} {d:.3f}"

    return go


def p_nograd(params: tuple[str, ...], steps: int = 20, floor: float = 0.0) -> Callable[[Case], tuple[bool, str]]:
    """The named weights get no gradient (None or <= floor), before and after 20 SGD steps."""

    def go(c: Case) -> tuple[bool, str]:
        m = c.make().train()
        _, heard, _ = ask(m, c.inputs())
        a = max(heard.get(p, -1.0) for p in params)
        b = a
        y = c.target()
        if y is not None and steps and any(p.requires_grad for p in m.parameters()):
            train(m, c.inputs(), y, steps, 0.01, "sgd", batch=64)
            _, heard, _ = ask(m, c.inputs())
            b = max(heard.get(p, -1.0) for p in params)
        return a <= floor and b <= floor, f"U max {a:.1e} after steps {b:.1e} (-1: no path)"

    return go


def p_nonfinite(c: Case) -> tuple[bool, str]:
    """A weight is NaN or infinite."""
    m = c.make()
    bad = [n for n, p in m.named_parameters() if not torch.isfinite(p).all()]
    return bool(bad), f"non-finite {bad}"


def seeded(seed: int, f: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """The same net at each call; the random state is left alone."""

    def go() -> nn.Module:
        st = torch.get_rng_state()
        torch.manual_seed(seed)
        m = f()
        torch.set_rng_state(st)
        return m

    return go


def rnd(seed: int, *shape: int) -> Tensor:
    """Normal numbers of a seed of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def teach(seed: int, x: Tensor, k: int) -> Tensor:
    """Class targets by a linear teacher: learnable, balanced enough."""
    w = rnd(seed, x[0].numel(), k)
    return (x.flatten(1).float() @ w).argmax(1)
