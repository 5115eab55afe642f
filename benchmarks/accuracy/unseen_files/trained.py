"""Kind 4: nets really trained: converged, half-way, and trained to a failure whose cause is measured."""


# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from sklearn import datasets as sk
from torch import Tensor, nn

from . import nets
from .instruments import Case, ask, loss_of, rnd, train

__all__ = ["CASES"]

CASES: list[Case] = []


def load(name: str) -> dict[str, Tensor]:
    if name == "sine":
        x = torch.rand(256, 1, generator=torch.Generator().manual_seed(1)) * 6 - 3
        return {"x": x, "y": torch.sin(2 * x)}
    if name == "xor":
        x = rnd(2, 256, 2)
        return {"x": x, "y": ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long()}
    if name == "rings":
        x, y = sk.make_circles(256, factor=0.4, noise=0.05, random_state=0)
    elif name == "moons":
        x, y = sk.make_moons(256, noise=0.1, random_state=0)
    else:
        x, y = getattr(sk, "load_" + name)(return_X_y=True)
    i = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))[:512]
    inputs = torch.tensor(x, dtype=torch.float32)[i]
    inputs = (inputs - inputs.mean(0)) / (inputs.std(0) + 1e-6)
    labels = torch.tensor(y)[i]
    if name == "diabetes":
        return {"x": inputs, "y": ((labels - labels.mean()) / labels.std()).float()[:, None]}
    return {"x": inputs, "y": labels.long()}


D = {n: load(n) for n in ("iris", "wine", "breast_cancer", "digits", "diabetes", "sine", "xor", "rings", "moons")}
DIGIMG = {"x": D["digits"]["x"].view(-1, 1, 8, 8), "y": D["digits"]["y"]}
DIGSEQ = {"x": D["digits"]["x"].view(-1, 8, 8), "y": D["digits"]["y"]}


def units(m: nn.Module, x: Tensor) -> dict[str, tuple[float, float]]:
    """Per activation: share of dead units (ReLU) or of saturated slopes (sigmoid, tanh)."""
    r: dict[str, tuple[float, float]] = {}
    hs = []
    for n, a in m.named_modules():
        if isinstance(a, (nn.ReLU, nn.Tanh, nn.Sigmoid)):

            def f(_module: nn.Module, i: Any, n: str = n, a: nn.Module = a) -> None:
                z = i[0].detach()
                z = z.transpose(1, -1).flatten(0, -2) if z.dim() == 4 else z.flatten(0, -2)
                if isinstance(a, nn.ReLU):
                    r[n] = (float((z.amax(0) <= 0).float().mean()), 0.0)
                else:
                    s = (
                        1 - torch.tanh(z) ** 2
                        if isinstance(a, nn.Tanh)
                        else 4 * torch.sigmoid(z) * (1 - torch.sigmoid(z))
                    )
                    r[n] = (0.0, float((s < 0.01).float().mean()))

            hs.append(a.register_forward_pre_hook(f))
    m(x)
    for h in hs:
        h.remove()
    return r


def p_fine(drop: float) -> Any:
    def go(c: Case) -> tuple[bool, str]:
        m = c.make().train()
        x, y = c.inputs(), c.target()
        assert y is not None
        reach, _, out = ask(m, x)
        loss = float(loss_of(out, y).detach())
        base = math.log(int(y.max()) + 1) if not y.is_floating_point() else float(y.var())
        u = units(m, x[0])
        u1 = units(m, x[0][:128])
        worst = max([max(v) for v in list(u.values()) + list(u1.values())], default=0)
        return (
            loss < drop * base and worst < 0.45 and min(reach.values()) > 1e-3 and max(reach.values()) < 300,
            f"loss {loss:.3f} chance {base:.2f} worst dead or saturated share {worst:.2f} "
            f"T {min(reach.values()):.1e}..{max(reach.values()):.1e}",
        )

    return go


def fit(
    b: Callable[[], nn.Module], d: dict[str, Tensor], steps: int, lr: float, opt: str, batch: int = 64
) -> Callable[[], nn.Module]:
    cache: list[nn.Module] = []

    def go() -> nn.Module:
        if not cache:
            st = torch.get_rng_state()
            torch.manual_seed(11)
            m = b()
            train(m, (d["x"],), d["y"], steps, lr, opt, batch)
            cache.append(m)
            torch.set_rng_state(st)
        return copy.deepcopy(cache[0])

    return go


def add(
    name: str,
    v: str,
    mk: Callable[[], nn.Module],
    d: dict[str, Tensor],
    form: str,
    culprits: tuple[str, ...],
    layers: dict[str, str],
    proof: Any,
    **o: Any,
) -> None:
    CASES.append(Case("tr_" + name, "trained", v, mk, d, form, o, culprits, layers, proof))


H = "healthy"


def plain(depth: int, n: int, a: type[nn.Module], i: int, o: int) -> Callable[[], nn.Module]:
    return lambda: nets.mlp(n, depth, a, i, o, he=False)


SPEC: list[tuple[str, str, Callable[[], nn.Module], dict[str, Tensor], int, float, str, str, str]] = [
    ("iris", "relu", plain(2, 24, nn.ReLU, 4, 3), D["iris"], 300, 1e-2, "adam", "0", "4"),
    ("iris_sgd", "tanh", plain(2, 24, nn.Tanh, 4, 3), D["iris"], 400, 0.1, "sgd", "0", "4"),
    ("wine", "relu", plain(2, 32, nn.ReLU, 13, 3), D["wine"], 200, 3e-3, "adam", "0", "4"),
    ("wine_mom", "gelu", plain(3, 32, nn.GELU, 13, 3), D["wine"], 300, 0.05, "momentum", "0", "6"),
    ("cancer", "relu", plain(3, 48, nn.ReLU, 30, 2), D["breast_cancer"], 200, 1e-3, "adam", "0", "6"),
    ("cancer_sgd", "tanh", plain(1, 32, nn.Tanh, 30, 2), D["breast_cancer"], 300, 0.1, "sgd", "0", "2"),
    ("digits", "relu", plain(2, 64, nn.ReLU, 64, 10), D["digits"], 400, 2e-3, "adam", "0", "4"),
    ("digits_mom", "relu", plain(3, 64, nn.ReLU, 64, 10), D["digits"], 400, 0.05, "momentum", "0", "6"),
    ("digits_silu", "silu", plain(4, 48, nn.SiLU, 64, 10), D["digits"], 400, 2e-3, "adam", "0", "8"),
    ("diabetes", "relu", plain(2, 32, nn.ReLU, 10, 1), D["diabetes"], 300, 3e-3, "adam", "0", "4"),
    ("sine", "tanh", plain(2, 48, nn.Tanh, 1, 1), D["sine"], 600, 5e-3, "adam", "0", "4"),
    ("xor", "relu", plain(2, 32, nn.ReLU, 2, 2), D["xor"], 400, 5e-3, "adam", "0", "4"),
    ("rings", "tanh", plain(2, 24, nn.Tanh, 2, 2), D["rings"], 300, 5e-3, "adam", "0", "4"),
    ("moons_sgd", "relu", plain(2, 64, nn.ReLU, 2, 2), D["moons"], 600, 0.3, "sgd", "0", "4"),
    (
        "digits_bn",
        "bn",
        lambda: nn.Sequential(
            nn.Linear(64, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 10),
        ),
        D["digits"],
        300,
        2e-3,
        "adam",
        "0",
        "6",
    ),
    (
        "digits_cnn",
        "cnn",
        lambda: nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(24, 10),
        ),
        DIGIMG,
        400,
        5e-3,
        "adam",
        "0",
        "7",
    ),
    ("digits_gru", "gru", lambda: nets.SeqCls2("GRU"), DIGSEQ, 300, 5e-3, "adam", "rnn", "head"),
    ("digits_lstm", "lstm", lambda: nets.SeqCls2("LSTM"), DIGSEQ, 300, 5e-3, "adam", "rnn", "head"),
    ("digits_vit", "vit", lambda: nets.ViT10(), DIGIMG, 250, 2e-3, "adam", "patch", "head"),
]
FORMS = ["module", "pt2", "onnx", "state"]
for i, (nm, _a, b, d, steps, lr, opt, first, last) in enumerate(SPEC):
    own = nm.endswith(("gru", "lstm", "vit"))
    for k, (tag, share, need) in enumerate(
        (("conv", 1.0, 0.5 if nm != "diabetes" else 0.7), ("half", 0.25 if "sgd" not in nm else 0.5, 0.97))
    ):
        opts = {} if (i + k) % 3 else {"optimizer": opt, "lr": lr}
        add(
            f"{nm}_{tag}",
            H,
            fit(b, d, int(steps * share), lr, opt),
            d,
            "entry" if own else FORMS[(i + k) % 4],
            (),
            {first: H, last: H},
            p_fine(need),
            **opts,
        )


def p_dead_trained(layer: str) -> Any:
    def go(c: Case) -> tuple[bool, str]:
        m = c.make().train()
        u = units(m, c.inputs()[0])
        fin = all(bool(torch.isfinite(p).all()) for p in m.parameters())
        return fin and u[layer][0] >= 0.6, f"dead shares { ({k: round(v[0], 2) for k, v in u.items()}) } finite={fin}"

    return go


def dying(depth: int, n: int, i: int, o: int) -> Callable[[], nn.Module]:
    return lambda: nets.mlp(n, depth, nn.ReLU, i, o)


# dying by a huge step, then 100 steps at a normal one: nothing comes back
def hurt(
    b: Callable[[], nn.Module], d: dict[str, Tensor], big: float, opt: str, steps: int = 30
) -> Callable[[], nn.Module]:
    cache: list[nn.Module] = []

    def go() -> nn.Module:
        if not cache:
            st = torch.get_rng_state()
            torch.manual_seed(3)
            m = b()
            train(m, (d["x"],), d["y"], steps, big, opt)
            train(m, (d["x"],), d["y"], 100, 1e-3, "sgd")
            cache.append(m)
            torch.set_rng_state(st)
        return copy.deepcopy(cache[0])

    return go


DYING = [
    ("iris", 3, 32, 0.5),
    ("wine", 3, 48, 0.3),
    ("digits", 3, 64, 0.3),
    ("digits", 2, 100, 1.0),
    ("breast_cancer", 4, 48, 0.3),
    ("moons", 3, 40, 1.0),
    ("diabetes", 3, 48, 0.5),
    ("xor", 3, 32, 1.0),
]
for j, (nm, depth, n, big) in enumerate(DYING):
    d = D[nm]
    o = 1 if d["y"].is_floating_point() else int(d["y"].max()) + 1
    mk = hurt(dying(depth, n, d["x"].shape[1], o), d, big, "adam")
    ls = ("3", "5") if nm == "diabetes" else ("3",)  # found once: 60 % or more of their units are dead
    cul = tuple(x for k in ls for x in (k, str(int(k) - 1)))
    add(f"dying_{nm}_{depth}", "dead", mk, d, FORMS[j % 3], cul, {}, p_dead_trained(ls[0]))


def p_nan(c: Case) -> tuple[bool, str]:
    n = sum(int((~torch.isfinite(p)).sum()) for p in c.make().parameters())
    return n > 0, f"{n} non-finite weights"


for j, (nm, lr) in enumerate([("diabetes", 30.0), ("sine", 30.0), ("diabetes", 300.0)]):
    d = D[nm]
    add(
        f"nan_{nm}_{j}",
        "exploding",
        fit(lambda d=d: nets.mlp(64, 3, nn.ReLU, d["x"].shape[1], 1), {"x": d["x"], "y": 10 * d["y"]}, 60, lr, "sgd"),
        d,
        FORMS[j],
        (),
        {},
        p_nan,
    )


def p_chance(c: Case) -> tuple[bool, str]:
    m = c.make().train()
    y = c.target()
    assert y is not None
    reach, _, out = ask(m, c.inputs())
    loss = float(loss_of(out, y))
    base = math.log(int(y.max()) + 1)
    return reach["0"] <= 1e-7 and loss > 0.9 * float(
        torch.distributions.Categorical(probs=torch.bincount(y).float()).entropy()
    ), f"T0={reach['0']:.1e} loss {loss:.3f} ln(k) {base:.3f}"


for j, (nm, depth) in enumerate([("digits", 12), ("iris", 14), ("wine", 16), ("breast_cancer", 20), ("moons", 14)]):
    d = D[nm]
    add(
        f"sigdeep_{nm}",
        "vanishing",
        fit(plain(depth, 48, nn.Sigmoid, d["x"].shape[1], int(d["y"].max()) + 1), d, 200, 0.05, "sgd"),
        d,
        FORMS[j % 3],
        tuple(str(k) for k in range(2 * depth + 1)),
        {"0": "vanishing", "2": "vanishing", str(2 * depth): H},
        p_chance,
    )


def p_satd(c: Case) -> tuple[bool, str]:
    m = c.make().train()
    u = units(m, c.inputs()[0])
    reach = ask(m, c.inputs())[0]
    return max(
        v[1] for v in u.values()
    ) > 0.97, f"saturated { ({k: round(v[1], 3) for k, v in u.items()}) } before {reach['0']:.1e}"


for j, (nm, act, lr) in enumerate(
    [("digits", nn.Tanh, 1.0), ("wine", nn.Tanh, 2.0), ("breast_cancer", nn.Sigmoid, 5.0), ("iris", nn.Tanh, 5.0)]
):
    d = D[nm]
    mk = hurt(plain(3, 48, act, d["x"].shape[1], int(d["y"].max()) + 1), d, lr, "adam", 60)
    add(f"satur_{nm}", "vanishing", mk, d, FORMS[j % 3], ("1", "0", "3", "2", "5", "4"), {}, p_satd)


def p_outrelu(c: Case) -> tuple[bool, str]:
    m = c.make()
    o = m(*c.inputs())
    return bool((o == 0).all()), f"largest output {float(o.max())}"


for nm in ("diabetes", "sine"):
    d = {"x": D[nm]["x"], "y": (D[nm]["y"] + 3) / 5}
    add(
        f"outrelu_{nm}",
        "dead",
        hurt(lambda d=d: nn.Sequential(*nets.mlp(40, 2, nn.ReLU, d["x"].shape[1], 1), nn.ReLU()), d, 20.0, "sgd", 10),
        d,
        "module",
        ("5", "4", "0", "1", "2", "3"),
        {},
        p_outrelu,
    )
