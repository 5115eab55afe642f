"""Kind 6 (beyond the brief): harder faults, harder look-alikes, other formats and targets."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import nets
from .injected import IMAGES, IMG, SEQ, TAB, TXT, X, allw, both, kill, mul, nan1, put
from .injected_paths import freeze
from .instruments import Asserted, Case, ask, p_dead, p_healthy, p_nograd, p_nonfinite, p_transmission, seeded

__all__ = ["CASES"]

CASES: list[Case] = []
H = "healthy"


def add(
    name: str,
    v: str,
    base: Callable[[], nn.Module],
    data: Any = TAB,
    form: str = "entry",
    culprits: tuple[str, ...] = (),
    layers: dict[str, str] | None = None,
    proof: Any = None,
    mut: Any = None,
    nodata: bool = False,
    **o: Any,
) -> None:
    def make() -> nn.Module:
        m = base()
        if mut:
            with torch.no_grad():
                mut(m)
        return m

    CASES.append(
        Case(
            "ex_" + name,
            "extra",
            v,
            seeded(5000 + len(CASES), make),
            None if nodata else data,
            form,
            o,
            culprits,
            layers or {},
            proof or p_healthy(),
            sample=data,
        )
    )


# converged with the output squashed: saturated because it is right
def squash(k: int, act: nn.Module, steps: int) -> Callable[[], nn.Module]:
    def go() -> nn.Module:
        m = nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, k))
        x = X
        y = (X[:, 0] > 0).long()
        o = torch.optim.Adam(m.parameters(), 1e-2)
        for _ in range(steps):
            o.zero_grad()
            z = m(x)
            (F.cross_entropy(z, y) if k > 1 else F.binary_cross_entropy_with_logits(z[:, 0], y.float())).backward()
            o.step()
        return m.append(act)

    return go


def p_acc(c: Case) -> tuple[bool, str]:
    m = c.make()
    o = m(*c.inputs())
    y = (X[:, 0] > 0).long()
    p = o[:, 0] > 0.5 if o.shape[1] == 1 else o.argmax(1)
    a = float((p.long() == y).float().mean())
    e = float((o[:, 0] - y.float()).abs().mean()) if o.shape[1] == 1 else 0
    return a == 1.0, f"accuracy {a} mean error {e:.1e}"


YB = {"x": X, "y": (X[:, :1] > 0).float()}
YC = {"x": X, "y": (X[:, 0] > 0).long()}
add("conv_sigmoid_bce", H, squash(1, nn.Sigmoid(), 300), YB, "module", layers={"0": H, "2": H}, proof=p_acc, loss="bce")
add("conv_sigmoid_default", H, squash(1, nn.Sigmoid(), 800), YB, "onnx", layers={"0": H, "2": H}, proof=p_acc)
add("conv_softmax", H, squash(2, nn.Softmax(-1), 500), YC, "module", layers={"0": H}, proof=p_acc)
add(
    "conv_logsoftmax_nll",
    H,
    squash(2, nn.LogSoftmax(-1), 300),
    YC,
    "module",
    layers={"0": H, "2": H},
    proof=p_acc,
    loss="nll",
)
add("conv_sigmoid_nodata", H, squash(1, nn.Sigmoid(), 200), YB, "module", layers={"0": H}, proof=p_acc, nodata=True)
add(
    "out_sigmoid_wrong",
    "vanishing",
    lambda: nn.Sequential(*nets.mlp(out=1), nn.Sigmoid()),
    YB,
    "module",
    ("8", "9"),
    {"0": "vanishing|dead"},
    p_transmission("0", 0, 1e-10),
    put("8", 60.0, "bias"),
)
# targets of other shapes
add(
    "int_one_logit",
    H,
    lambda: nets.mlp(out=1),
    {"x": X, "y": (X[:, 0] > 0).long()},
    "module",
    layers={"0": H, "8": H},
    proof=p_healthy(drop=0),
)
add("flat_targets", H, lambda: nets.mlp(out=1), {"x": X, "y": X[:, 0].clone()}, "module", layers={"0": H})
add("onehot", H, nets.mlp, {"x": X, "y": F.one_hot(TAB["y"], 5).float()}, "onnx", layers={"0": H})
add(
    "segment",
    H,
    lambda: nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 3, 1)),
    {"x": IMAGES, "y": (IMAGES[:, 0] > 0).long() + (IMAGES[:, 0] > 1).long()},
    "module",
    layers={"0": H, "3": H},
    proof=p_healthy(drop=0),
)
add("double", H, lambda: nets.mlp().double(), {"x": X.double(), "y": TAB["y"]}, "module", layers={"0": H})
add(
    "double_f32data",
    H,
    lambda: nets.mlp().double(),
    TAB,
    "module",
    layers={"0": H},
    proof=Asserted("double weights, float data"),
)
add("bf16", H, lambda: nets.mlp().bfloat16(), TAB, "module", layers={"0": H}, proof=Asserted("bf16 weights"))
add("half", H, lambda: nets.mlp().half(), TAB, "module", layers={"0": H}, proof=Asserted("fp16 weights"))
add(
    "wide_y",
    H,
    lambda: nets.mlp(out=5),
    {"x": X, "y": TAB["y"].to(torch.uint8)},
    "module",
    layers={"0": H},
    proof=Asserted("uint8 classes"),
)
# faults hidden by a side path
add(
    "res_branch_dead",
    "dead",
    nets.ResNet,
    IMG,
    "entry",
    ("blocks.1.conv1", "blocks.1.bn1", "blocks.1.relu", "blocks.1"),
    {"stem": H, "blocks.0.conv1": H, "fc": H, "blocks.1.conv1": "dead"},
    p_nograd(("blocks.1.conv1.weight",)),
    put("blocks.1.bn1", -100.0, "bias"),
)
add(
    "ffn_dead",
    "dead",
    nets.ViT,
    IMG,
    "entry",
    ("encoder.layers.1.linear1", "encoder.layers.1", "encoder.layers.1.linear2", "relu()", "encoder.layers.1.relu()"),
    {"patch": H, "head": H, "encoder.layers.0.linear1": H},
    p_nograd(("encoder.layers.1.linear1.weight",)),
    put("encoder.layers.1.linear1", -100.0, "bias"),
)
add(
    "ffn_dead60",
    "dead",
    lambda: nets.ViT(d=50 // 2 * 2 + 14),
    IMG,
    "entry",
    ("encoder.layers.1.linear1", "encoder.layers.1.linear2", "encoder.layers.1"),
    {"patch": H, "head": H},
    Asserted("75 % of units -100"),
    kill("encoder.layers.1.linear1", 0.75),
)
add(
    "unet_mid_dead",
    "dead",
    nets.UNet,
    {"x": IMAGES, "y": IMAGES.clone()},
    "entry",
    ("mid.0", "mid.1", "mid.2"),
    {"d1.0": H, "out": H},
    p_dead("mid.2", (0.99, 1)),
    put("mid.1", -100.0, "bias"),
)
add(
    "unet_nan",
    "exploding",
    nets.UNet,
    {"x": IMAGES, "y": IMAGES.clone()},
    "entry",
    ("up",),
    {"up": "exploding"},
    p_nonfinite,
    nan1("up", float("nan")),
)
add(
    "bias_nan",
    "exploding",
    nets.mlp,
    TAB,
    "onnx",
    ("4",),
    {"4": "exploding"},
    p_nonfinite,
    lambda m: m[4].bias.__setitem__(0, float("nan")),
)
add(
    "frozen_nan",
    "exploding",
    nets.mlp,
    TAB,
    "module",
    ("2",),
    {"2": "exploding"},
    p_nonfinite,
    both(nan1("2", float("inf")), freeze("2")),
)
add(
    "emb_nan_row",
    "exploding",
    lambda: nets.Text(500),
    TXT,
    "entry",
    ("emb",),
    {"emb": "exploding"},
    p_nonfinite,
    lambda m: m.emb.weight[450].fill_(float("nan")),
)
add(
    "overflow",
    "exploding",
    nets.mlp,
    TAB,
    "module",
    (),
    {},
    lambda c: (not bool(torch.isfinite(c.make()(*c.inputs())).all()), "outputs not finite"),
    allw(1e12),
)


class Par(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(20, 32), nn.Linear(32, 5)
        self.gamma = nn.Parameter(torch.ones(32))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x)))


add(
    "unused_param",
    "dead",
    Par,
    TAB,
    "entry",
    ("gamma", "", "Par"),
    {"a": H, "b": H},
    Asserted("gamma is in no operation"),
)


class Towers(nn.Module):
    def __init__(self, g: float) -> None:
        super().__init__()
        self.t1, self.t2, self.head, self.g = (
            nets.mlp(24, 2, nn.ReLU, 20, 16),
            nets.mlp(24, 2, nn.ReLU, 20, 16),
            nn.Linear(16, 5),
            g,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.t1(x) + self.g * self.t2(x))


add(
    "tower_zero",
    "dead",
    lambda: Towers(0.0),
    TAB,
    "entry",
    ("t2", "t2.0", "t2.2", "t2.4", "mul()"),
    {"t1.0": H, "t2.0": "dead", "t2.4": "dead", "head": H},
    p_nograd(("t2.0.weight", "t2.4.weight")),
)
add(
    "tower_tiny",
    "vanishing",
    lambda: Towers(1e-9),
    TAB,
    "state",
    ("t2", "t2.0", "t2.1", "t2.2", "t2.3", "t2.4", "mul()"),
    {"t1.0": H, "t2.0": "vanishing", "t2.4": "vanishing", "head": H},
    lambda c: (
        (t := ask(c.make(), c.inputs())[0]["t2.0"]) < 1e-7,
        f"T[t2.0] {t:.1e}: a constant 1e-9, no parameter opens it",
    ),
)


class Att(nn.Module):
    def __init__(self, s: float) -> None:
        super().__init__()
        self.q, self.k, self.v, self.head = nn.Linear(6, 24), nn.Linear(6, 24), nn.Linear(6, 24), nn.Linear(24, 5)
        with torch.no_grad():
            self.q.weight.mul_(s)
            self.k.weight.mul_(s)

    def forward(self, x: Tensor) -> Tensor:
        a = (self.q(x) @ self.k(x).transpose(1, 2) / 24**0.5).softmax(-1)
        return self.head((a @ self.v(x)).mean(1))


add(
    "att_ok",
    H,
    lambda: Att(1.0),
    SEQ,
    "entry",
    (),
    {"q": H, "k": H, "v": H, "head": H},
    p_healthy(1e-4, zero_ok=("q", "k"), lr=1e-2, steps=100),
)
add(
    "att_sat",
    "vanishing",
    lambda: Att(1e4),
    SEQ,
    "entry",
    ("q", "k", "softmax()"),
    {"v": H, "head": H},
    lambda c: ((t := ask(c.make(), c.inputs())[0])["q"] < 1e-7, f"T[q] {t['q']:.1e} T[v] {t['v']:.1e}"),
)


def lgate(b: dict[int, float]) -> Any:
    def f(m: nn.Module) -> None:
        h = m.rnn.hidden_size
        for g, v in b.items():
            m.rnn.bias_ih_l0[g * h : (g + 1) * h] = v

    return f


add(
    "lstm_out_closed",
    "vanishing",
    lambda: nets.SeqCls("LSTM"),
    SEQ,
    "entry",
    ("rnn",),
    {"rnn": "vanishing"},
    Asserted("output gate bias -20"),
    lgate({3: -20.0}),
)
add(
    "lstm_in_closed",
    "vanishing",
    lambda: nets.SeqCls("LSTM"),
    SEQ,
    "state",
    ("rnn",),
    {"rnn": "vanishing"},
    Asserted("input gate bias -20"),
    lgate({0: -20.0}),
)
add(
    "gru_closed",
    "vanishing",
    lambda: nets.SeqCls("GRU"),
    SEQ,
    "entry",
    ("rnn",),
    {"rnn": "vanishing"},
    Asserted("update gate bias +20: the state never leaves zero"),
    lgate({1: 20.0}),
)
add(
    "bn_channels60",
    "dead",
    lambda: nets.cnn(50),
    IMG,
    "module",
    ("4", "5", "6"),
    {"0": H, "13": H},
    p_dead("6", (0.6, 0.65)),
    kill("5", 0.6),
)
add(
    "bn_channels40",
    H,
    lambda: nets.cnn(50),
    IMG,
    "pt2",
    (),
    {"0": H, "13": H, "4": H},
    p_dead("6", (0.4, 0.45)),
    kill("5", 0.4),
)
add(
    "prelu0_shift",
    H,
    lambda: nn.Sequential(nn.Linear(20, 48), nn.PReLU(), nn.Linear(48, 5)),
    TAB,
    "module",
    (),
    {"0": H, "1": H, "2": H},
    None,
    put("0", -20.0, "bias"),
)
add(
    "leaky_shift",
    H,
    lambda: nn.Sequential(nn.Linear(20, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 5)),
    TAB,
    "onnx",
    (),
    {"0": H, "2": H, "4": H},
    None,
    put("2", -10.0, "bias"),
)
add(
    "hardshrink",
    "dead",
    lambda: nn.Sequential(nn.Linear(20, 48), nn.Tanh(), nn.Linear(48, 48), nn.Hardshrink(50.0), nn.Linear(48, 5)),
    TAB,
    "module",
    ("2", "3"),
    {"0": "dead", "2": "dead"},
    p_nograd(("0.weight", "2.weight")),
)
add(
    "relu6_high",
    "dead",
    lambda: nn.Sequential(nn.Linear(20, 48), nn.Tanh(), nn.Linear(48, 48), nn.ReLU6(), nn.Linear(48, 5)),
    TAB,
    "module",
    ("2", "3"),
    {"0": "dead", "2": "dead", "4": H},
    p_nograd(("0.weight", "2.weight")),
    put("2", 50.0, "bias"),
)
add(
    "clamp_cut",
    "dead",
    lambda: nn.Sequential(nn.Linear(20, 48), nn.Tanh(), nn.Linear(48, 48), nn.Hardtanh(-1, 1), nn.Linear(48, 5)),
    TAB,
    "onnx",
    ("2", "3"),
    {"0": "dead", "2": "dead", "4": H},
    p_nograd(("0.weight", "2.weight")),
    put("2", 50.0, "bias"),
)
# Adam does not cure T = 1e-12; a huge lr is named
add(
    "van_adam",
    "vanishing",
    lambda: nn.Sequential(
        *[y for each in range(20) for y in (nn.Linear(20 if each == 0 else 48, 48), nn.Sigmoid())], nn.Linear(48, 5)
    ),
    TAB,
    "module",
    tuple(str(k) for k in range(41)),
    {"0": "vanishing", "40": H},
    p_transmission("0", 0, 1e-12),
    optimizer="adam",
    lr=1e-3,
)
add(
    "exp_adam",
    "exploding",
    nets.mlp,
    TAB,
    "module",
    ("4",),
    {"0": "exploding"},
    p_transmission("0", 1e4, 1e20),
    mul("4", 1e6),
    optimizer="adam",
    lr=1e-3,
)
add(
    "dead_adamw",
    "dead",
    nets.mlp,
    TAB,
    "module",
    ("4", "5"),
    {"0": "dead"},
    p_dead("5"),
    put("4", -100.0, "bias"),
    optimizer="adamw",
    lr=1e-3,
)
