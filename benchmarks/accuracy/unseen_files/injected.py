"""Kind 2: a healthy net, one layer broken (or only seemingly so)."""


# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from . import nets
from .instruments import Case, ask, p_dead, p_healthy, p_nograd, p_nonfinite, p_transmission, rnd, seeded, teach, train

__all__ = ["CASES"]

CASES: list[Case] = []
X = rnd(1, 128, 20)
TAB = {"x": X, "y": teach(2, X, 5)}
IMAGES = rnd(3, 96, 1, 8, 8)
IMG = {"x": IMAGES, "y": teach(4, IMAGES, 5)}
S = rnd(5, 96, 15, 6)
SEQ = {"x": S, "y": teach(6, S.mean(1), 5)}
IDS = torch.randint(1, 40, (128, 12), generator=torch.Generator().manual_seed(8))
TXT = {"ids": IDS, "y": (IDS.float().mean(1) > 20).long()}
AUTO = {"x": X, "y": X.clone()}
Tinput = {"x": IMAGES, "y": IMAGES.clone()}
Mut = Callable[[nn.Module], Any]
seed = [0]


def add(
    name: str,
    verdict: str,
    base: Callable[[], nn.Module],
    mut: Mut | None = None,
    data: Any = TAB,
    form: str = "module",
    culprits: tuple[str, ...] = (),
    layers: dict[str, str] | None = None,
    proof: Any = None,
    nodata: bool = False,
    **options: Any,
) -> None:
    seed[0] += 1

    def make() -> nn.Module:
        m = base()
        if mut:
            with torch.no_grad():
                mut(m)
        return m

    CASES.append(
        Case(
            "in_" + name,
            "injected",
            verdict,
            seeded(seed[0], make),
            None if nodata else data,
            form,
            options,
            culprits,
            layers or {},
            proof or p_healthy(),
            sample=data,
        )
    )


def at(m: nn.Module, n: str) -> Any:
    return m.get_submodule(n)


def mul(n: str, k: float, bias: bool = False) -> Mut:
    def f(m: nn.Module) -> None:
        at(m, n).weight.mul_(k)
        if bias:
            at(m, n).bias.mul_(k)

    return f


def put(n: str, v: float, where: str = "weight") -> Mut:
    return lambda m: getattr(at(m, n), where).fill_(v)


def kill(n: str, share: float) -> Mut:
    def f(m: nn.Module) -> None:
        b = at(m, n).bias
        b[: round(share * len(b))] = -100.0

    return f


def nan1(n: str, v: float) -> Mut:
    def f(m: nn.Module) -> None:
        at(m, n).weight.view(-1)[3] = v

    return f


def both(*fs: Mut) -> Mut:
    def g(m: nn.Module) -> None:
        for f in fs:
            f(m)

    return g


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 12), nn.GELU(), nn.Linear(12, 64), nn.GELU(), nn.Linear(64, 20)
    )


# clean bases
add("ok_mlp", "healthy", nets.mlp, layers={"0": "healthy", "4": "healthy", "8": "healthy"})
add("ok_mlp_tanh", "healthy", lambda: nets.mlp(act=nn.Tanh), form="onnx", layers={"0": "healthy", "8": "healthy"})
add("ok_cnn", "healthy", nets.cnn, data=IMG, layers={"0": "healthy", "4": "healthy", "13": "healthy"})
add("ok_cnn_nobn", "healthy", lambda: nets.cnn(bn=False), data=IMG, form="pt2", layers={"0": "healthy", "3": "healthy"})
add(
    "ok_resnet",
    "healthy",
    nets.ResNet,
    data=IMG,
    form="entry",
    layers={"stem": "healthy", "blocks.1.conv1": "healthy", "fc": "healthy"},
)
add(
    "ok_vit",
    "healthy",
    nets.ViT,
    data=IMG,
    form="entry",
    layers={"patch": "healthy", "encoder.layers.1.linear1": "healthy", "head": "healthy"},
)
add(
    "ok_vit_post",
    "healthy",
    lambda: nets.ViT(first=False),
    data=IMG,
    form="state",
    layers={"patch": "healthy", "head": "healthy"},
)
add("ok_gru", "healthy", nets.SeqCls, data=SEQ, form="entry", layers={"rnn": "healthy", "head": "healthy"})
add(
    "ok_lstm2",
    "healthy",
    lambda: nets.SeqCls("LSTM", layers=2),
    data=SEQ,
    form="state",
    layers={"head": "healthy"},
    proof=p_healthy(steps=120, lr=1e-2),
)
add(
    "ok_ae",
    "healthy",
    autoencoder,
    data=AUTO,
    layers={"0": "healthy", "2": "healthy", "6": "healthy"},
    proof=p_healthy(drop=0.97),
)
add("ok_unet", "healthy", nets.UNet, data=Tinput, form="entry", layers={"d1.0": "healthy", "out": "healthy"})
add(
    "ok_text",
    "healthy",
    nets.Text,
    data=TXT,
    form="entry",
    layers={"emb": "healthy", "fc": "healthy", "head": "healthy"},
)
add(
    "ok_enc",
    "healthy",
    lambda: nn.Sequential(
        nn.TransformerEncoder(nn.TransformerEncoderLayer(20, 4, 40, batch_first=True), 2, enable_nested_tensor=False),
        nn.Linear(20, 5),
    ),
    layers={"1": "healthy"},
    proof=p_healthy(1e-4),
)
# NaN, Inf
for nm, b, d, f, n, val in [
    ("mlp", nets.mlp, TAB, "module", "4", "nan"),
    ("cnn", nets.cnn, IMG, "module", "4", "inf"),
    ("resnet", nets.ResNet, IMG, "entry", "blocks.1.conv2", "nan"),
    ("gru_head", nets.SeqCls, SEQ, "state", "head", "inf"),
    ("ae", autoencoder, AUTO, "pt2", "2", "nan"),
    ("unet", nets.UNet, Tinput, "entry", "mid.0", "-inf"),
    ("vit", nets.ViT, IMG, "entry", "encoder.layers.1.linear2", "nan"),
]:
    add(
        f"{val.strip('-')}_{nm}",
        "exploding",
        b,
        nan1(n, float(val)),
        data=d,
        form=f,
        culprits=(n,),
        layers={n: "exploding"},
        proof=p_nonfinite,
    )
# x1e6 without a norm behind it
add(
    "x1e6_mlp",
    "exploding",
    nets.mlp,
    mul("4", 1e6),
    culprits=("4",),
    layers={"0": "exploding", "2": "exploding", "8": "healthy|exploding"},
    proof=p_transmission("0", 1e4, 1e30),
)
add(
    "x1e6_cnn",
    "exploding",
    lambda: nets.cnn(bn=False),
    mul("6", 1e6),
    data=IMG,
    culprits=("6",),
    layers={"0": "exploding"},
    proof=p_transmission("0", 1e4, 1e30),
)
add(
    "x1e6_head",
    "exploding",
    lambda: nets.mlp(depth=3),
    mul("6", 1e6),
    form="onnx",
    culprits=("6",),
    layers={"0": "exploding", "2": "exploding"},
    proof=p_transmission("0", 1e4, 1e30),
)
add(
    "x1e6_ae",
    "exploding",
    autoencoder,
    mul("4", 1e6),
    data=AUTO,
    form="pt2",
    culprits=("4",),
    layers={"0": "exploding"},
    proof=p_transmission("0", 1e4, 1e30),
)
add(
    "x1e6_vit_head",
    "exploding",
    nets.ViT,
    mul("head", 1e6),
    data=IMG,
    form="entry",
    culprits=("head",),
    layers={"patch": "exploding"},
    proof=p_transmission("patch", 1e4, 1e30),
)
add(
    "x1e6_nodata",
    "exploding",
    lambda: nets.mlp(depth=5),
    mul("6", 1e6),
    nodata=True,
    culprits=("6",),
    layers={"0": "exploding"},
    proof=p_transmission("0", 1e4, 1e30),
)


# std x30 everywhere
def allw(k: float) -> Mut:
    return lambda m: [each.weight.mul_(k) for each in m.modules() if isinstance(each, (nn.Linear, nn.Conv2d))]


add(
    "std30_mlp",
    "exploding",
    lambda: nets.mlp(depth=6),
    allw(30.0),
    layers={"0": "exploding"},
    proof=p_transmission("0", 1e4, 1e30),
)
add(
    "std30_cnn",
    "exploding",
    lambda: nets.cnn(bn=False),
    allw(60.0),
    data=IMG,
    form="state",
    layers={"0": "exploding"},
    proof=p_transmission("0", 1e4, 1e30),
)
add(
    "std003_mlp",
    "vanishing",
    lambda: nets.mlp(depth=8, act=nn.Tanh),
    allw(0.03),
    layers={"0": "vanishing", "2": "vanishing"},
    proof=p_transmission("0", 1e-30, 1e-8),
)
# two x1e-4/1e-5 in series: neither opens
for nm, b, d, a, c, first, f in [
    ("mlp", lambda: nets.mlp(act=nn.Tanh), TAB, "4", "6", "0", "module"),
    ("gelu", lambda: nets.mlp(act=nn.GELU, depth=5), TAB, "4", "8", "0", "onnx"),
    ("ae", autoencoder, AUTO, "2", "4", "0", "pt2"),
]:

    def van(c: Case, first: str = first) -> tuple[bool, str]:
        m = c.make()
        before = ask(m, c.inputs())[0][first]
        train(m, c.inputs(), c.target(), 20, 0.01, "sgd")
        after = ask(m, c.inputs())[0][first]
        return before <= 1e-7 and after <= 1e-6, f"T {before:.1e} after 20 steps {after:.1e}"

    add(
        f"tiny2_{nm}",
        "vanishing",
        b,
        both(mul(a, 1e-5), mul(c, 1e-5)),
        data=d,
        form=f,
        culprits=(a, c, str(int(a) + 1), str(int(c) + 1)),
        layers={first: "vanishing"},
        proof=van,
    )


# dead layers
def up_dead(act: str) -> Any:
    return p_dead(act, (0.999, 1.0))


add(
    "bias100_mlp",
    "dead",
    nets.mlp,
    put("4", -100.0, "bias"),
    culprits=("4", "5"),
    layers={"0": "dead", "2": "dead"},
    proof=up_dead("5"),
)
add(
    "bias100_mlp_first",
    "dead",
    nets.mlp,
    put("0", -100.0, "bias"),
    form="onnx",
    culprits=("0", "1"),
    layers={},
    proof=up_dead("1"),
)
add(
    "bias100_cnn",
    "dead",
    lambda: nets.cnn(bn=False),
    put("6", -1000.0, "bias"),
    data=IMG,
    culprits=("6", "7"),
    layers={"0": "dead", "3": "dead"},
    proof=up_dead("7"),
)
add(
    "bias100_bn",
    "dead",
    nets.cnn,
    put("5", -100.0, "bias"),
    data=IMG,
    culprits=("4", "5", "6"),
    layers={"0": "dead"},
    proof=up_dead("6"),
)
add(
    "bias100_nodata",
    "dead",
    lambda: nets.mlp(depth=5),
    put("6", -1000.0, "bias"),
    nodata=True,
    culprits=("6", "7"),
    layers={"0": "dead", "4": "dead"},
    proof=up_dead("7"),
)
add(
    "outrelu",
    "dead",
    lambda: nn.Sequential(*nets.mlp(out=1), nn.ReLU()),
    put("8", -50.0, "bias"),
    data={"x": X, "y": X[:, :1].abs()},
    culprits=("8", "9"),
    layers={"0": "dead", "4": "dead"},
    proof=up_dead("9"),
)
add(
    "outrelu4",
    "dead",
    lambda: nn.Sequential(*nets.mlp(out=4), nn.ReLU()),
    put("8", -50.0, "bias"),
    data={"x": X, "y": X[:, :4].abs()},
    form="pt2",
    culprits=("8", "9"),
    layers={"0": "dead"},
    proof=up_dead("9"),
)
add(
    "zero_relu_mid",
    "dead",
    nets.mlp,
    mul("4", 0.0, True),
    culprits=("4", "5"),
    layers={"0": "dead", "2": "dead"},
    proof=up_dead("5"),
)
add(
    "gelu_far",
    "dead",
    lambda: nets.mlp(act=nn.GELU),
    put("4", -100.0, "bias"),
    culprits=("4", "5"),
    layers={"0": "dead"},
    proof=p_nograd(("0.weight", "2.weight", "4.weight")),
)
add(
    "silu_far",
    "dead",
    lambda: nets.mlp(act=nn.SiLU),
    put("2", -200.0, "bias"),
    culprits=("2", "3"),
    layers={"0": "dead"},
    proof=p_nograd(("0.weight", "2.weight")),
)
for sh, v in [(0.3, "healthy"), (0.48, "healthy"), (0.6, "dead"), (0.95, "dead"), (0.8, "dead")]:
    for nm, b, d, n, a, f in [
        ("mlp", lambda: nets.mlp(n=100), TAB, "4", "5", "module"),
        ("cnn", lambda: nets.cnn(c=50, bn=False), IMG, "3", "4", "pt2"),
        ("first", lambda: nets.mlp(n=100, depth=3), TAB, "0", "1", "onnx"),
    ]:
        eps = 0.06 if nm != "mlp" else 0.02
        add(
            f"kill{int(sh * 100)}_{nm}",
            v,
            b,
            kill(n, sh),
            data=d,
            form=f,
            culprits=(n, a) if v == "dead" else (),
            layers=({n: "healthy"} if v == "healthy" else {}) | ({"0": "healthy"} if n != "0" else {}),
            proof=p_dead(a, (sh - 0.01, min(1, sh + eps) if v == "dead" else 0.499)),
        )
