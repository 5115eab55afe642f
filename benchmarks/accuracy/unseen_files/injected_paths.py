"""Kind 2, the second part: saturation, cut paths, and what only seems broken."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import nets
from .injected import CASES, IMG, TAB, TXT, Mut, X, add, at, autoencoder, both, mul, put
from .instruments import Case, p_healthy, p_nograd, p_transmission, train

__all__ = ["CASES"]

# saturation
add(
    "sat_sigmoid",
    "vanishing",
    lambda: nets.mlp(act=nn.Sigmoid, depth=3, he=False),
    put("2", 100.0, "bias"),
    culprits=("2", "3"),
    layers={"0": "vanishing|dead", "6": "healthy"},
    proof=p_transmission("0", 0, 1e-8),
)
add(
    "sat_sigmoid8",
    "vanishing",
    lambda: nets.mlp(act=nn.Sigmoid, depth=2, he=False),
    put("2", 12.0, "bias"),
    form="onnx",
    culprits=("2", "3"),
    layers={"0": "vanishing", "4": "healthy"},
    proof=p_transmission("0", 0, 1e-4),
)
add(
    "sat_tanh",
    "vanishing",
    lambda: nets.mlp(act=nn.Tanh, depth=3),
    put("2", 8.0, "bias"),
    culprits=("2", "3"),
    layers={"0": "vanishing", "6": "healthy"},
    proof=p_transmission("0", 0, 1e-3),
)
add(
    "sat_tanh_pt2",
    "vanishing",
    lambda: nets.mlp(act=nn.Tanh, depth=4),
    put("6", 7.0, "bias"),
    form="pt2",
    culprits=("6", "7"),
    layers={"0": "vanishing", "2": "vanishing", "8": "healthy"},
    proof=p_transmission("0", 0, 3e-3),
)
BIG = {"x": X * 1e4, "y": TAB["y"]}


def p_sat(act: str) -> Any:
    def go(c: Case) -> tuple[bool, str]:
        m = c.make()
        got: list[Tensor] = []
        m.get_submodule(act).register_forward_pre_hook(lambda _module, a: got.append(a[0]))
        m(*c.inputs())
        s = torch.sigmoid(got[0])
        k = float((4 * s * (1 - s) < 0.01).float().mean())
        return k > 0.95, f"saturated share {k:.3f}"

    return go


add(
    "sat_input",
    "vanishing",
    lambda: nets.mlp(act=nn.Sigmoid, depth=2, he=False),
    data=BIG,
    culprits=("0", "1"),
    layers={"4": "healthy"},
    proof=p_sat("1"),
)
add(
    "sat_input_wide",
    "vanishing",
    lambda: nets.mlp(act=nn.Sigmoid, depth=1, n=100, he=False),
    data={"x": X * 1e5, "y": TAB["y"]},
    form="state",
    culprits=("0", "1"),
    layers={"2": "healthy"},
    proof=p_sat("1"),
)
# cuts
UP = ("a.weight", "b.weight")
for how in ("detach", "nograd", "argmax", "round", "sign", "step", "numpy"):
    add(
        f"cut_{how}",
        "dead",
        lambda how=how: nets.Cut(how),
        form="entry" if how in ("numpy", "nograd", "argmax", "step") else "state",
        culprits=("a", "b", "c", "emb", "round()", "sign()"),
        layers={"a": "dead", "b": "dead", "c": "healthy", "d": "healthy"},
        proof=p_nograd(UP),
    )
add(
    "cut_detach_res",
    "dead",
    lambda: nets.ResNet(detach=1),
    data=IMG,
    form="entry",
    culprits=(
        "stem",
        "bn",
        "blocks.0",
        "blocks.0.conv1",
        "blocks.0.conv2",
        "blocks.0.bn1",
        "blocks.0.bn2",
        "blocks.0.relu",
        "blocks.1",
        "blocks.1.conv1",
        "blocks.1.relu",
    ),
    layers={"stem": "dead", "blocks.0.conv1": "dead", "blocks.2.conv1": "healthy", "fc": "healthy"},
    proof=p_nograd(("stem.weight", "blocks.0.conv1.weight")),
)
add(
    "unused",
    "dead",
    lambda: nets.Cut("unused"),
    form="entry",
    culprits=("spare",),
    layers={"spare": "dead", "a": "healthy", "b": "healthy", "d": "healthy"},
    proof=p_nograd(("spare.weight",)),
)
add(
    "unused2",
    "dead",
    lambda: nets.Cut("unused2"),
    form="state",
    culprits=("aux.0", "aux.2", "aux"),
    layers={"aux.0": "dead", "aux.2": "dead", "a": "healthy"},
    proof=p_nograd(("aux.0.weight",)),
)
add(
    "times_zero",
    "dead",
    lambda: nets.Cut("zero"),
    form="entry",
    culprits=("a", "b", "c"),
    layers={"a": "dead", "b": "dead", "d": "healthy"},
    proof=p_nograd(UP),
)
add(
    "dropout1",
    "dead",
    lambda: nn.Sequential(
        nn.Linear(20, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Dropout(1.0), nn.Linear(48, 5)
    ),
    culprits=("2", "3", "4", "5"),
    layers={"0": "dead", "2": "dead"},
    proof=p_nograd(("0.weight", "2.weight")),
)
add(
    "zero2_tanh",
    "dead",
    lambda: nets.mlp(act=nn.Tanh),
    both(mul("4", 0.0, True), mul("6", 0.0, True)),
    culprits=("4", "6", "5", "7"),
    layers={"0": "dead", "2": "dead"},
    proof=p_nograd(("0.weight", "2.weight", "4.weight", "6.weight")),
)
add(
    "zero2_gelu",
    "dead",
    lambda: nets.mlp(act=nn.GELU, depth=5),
    both(mul("4", 0.0, True), mul("6", 0.0, True)),
    form="onnx",
    culprits=("4", "6", "5", "7"),
    layers={"0": "dead", "2": "dead"},
    proof=p_nograd(("0.weight", "2.weight", "4.weight", "6.weight")),
)
add(
    "allzero",
    "dead",
    lambda: nets.mlp(act=nn.Tanh, depth=3),
    lambda m: [p.zero_() for p in m.parameters()],
    layers={"0": "dead", "2": "dead"},
    proof=p_nograd(("0.weight", "2.weight", "4.weight", "6.weight")),
)
add(
    "lora00",
    "dead",
    lambda: nets.LoRANet(20, True),
    form="entry",
    culprits=("l1", "l1.A", "l1.B"),
    layers={"l1.A": "dead", "l1.B": "dead", "l2.A": "healthy", "head": "healthy"},
    proof=p_nograd(("l1.A.weight", "l1.B.weight")),
)
# seemingly broken
add(
    "lora",
    "healthy",
    lambda: nets.LoRANet(20),
    form="entry",
    layers={"l1.A": "healthy", "l1.B": "healthy", "head": "healthy"},
    proof=p_healthy(gated=True, steps=200, lr=1e-2),
)


def freeze(*ns: str) -> Mut:
    return lambda m: [p.requires_grad_(False) for n in ns for p in at(m, n).parameters()]


add(
    "frozen_first",
    "healthy",
    nets.mlp,
    freeze("0", "2"),
    layers={"0": "healthy", "2": "healthy", "4": "healthy"},
    proof=p_healthy(gated=True),
)
add(
    "frozen_mid",
    "healthy",
    nets.ResNet,
    freeze("blocks.1"),
    data=IMG,
    form="entry",
    layers={"blocks.1.conv1": "healthy", "stem": "healthy"},
    proof=p_healthy(gated=True),
)
add(
    "frozen_all_but_head",
    "healthy",
    nets.ViT,
    freeze("patch", "encoder"),
    data=IMG,
    form="entry",
    layers={"patch": "healthy", "head": "healthy"},
    proof=p_healthy(gated=True, lr=3e-2),
)
add(
    "zero_gamma",
    "healthy",
    nets.ResNet,
    lambda m: [b.bn2.weight.zero_() for b in m.blocks],
    data=IMG,
    form="entry",
    layers={"blocks.0.conv1": "healthy", "blocks.1.conv2": "healthy", "blocks.2.bn2": "healthy"},
    proof=p_healthy(gated=True),
)
add(
    "zero_head",
    "healthy",
    nets.cnn,
    put("13", 0.0),
    data=IMG,
    layers={"13": "healthy", "0": "healthy"},
    proof=p_healthy(gated=True),
)
add(
    "zero_head_mlp",
    "healthy",
    nets.mlp,
    mul("8", 0.0, True),
    form="onnx",
    layers={"8": "healthy", "0": "healthy"},
    proof=p_healthy(gated=True),
)
add(
    "zero_head_vit",
    "healthy",
    nets.ViT,
    mul("head", 0.0, True),
    data=IMG,
    form="state",
    layers={"head": "healthy", "patch": "healthy"},
    proof=p_healthy(gated=True),
)
add(
    "dropout05",
    "healthy",
    lambda: nn.Sequential(
        nn.Linear(20, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 5)
    ),
    layers={"0": "healthy", "3": "healthy", "6": "healthy"},
    proof=p_healthy(steps=150),
)
add(
    "layerscale",
    "healthy",
    nets.ScaledNet,
    form="entry",
    layers={"stem": "healthy", "head": "healthy", "blocks.1.up": "healthy", "blocks.1.down": "healthy"},
    proof=p_healthy(gated=True),
)
add(
    "sparse_emb", "healthy", lambda: nets.Text(5000), data=TXT, form="state", layers={"emb": "healthy", "fc": "healthy"}
)
add("pad_emb", "healthy", lambda: nets.Text(200, pad=True), data=TXT, form="entry", layers={"emb": "healthy"})
add(
    "relu_head_half",
    "healthy",
    lambda: nn.Sequential(*nets.mlp(out=6), nn.ReLU()),
    data={"x": X, "y": X[:, :6].abs()},
    layers={"0": "healthy"},
    proof=p_healthy(),
)
add("adam_given", "healthy", nets.mlp, optimizer="adam", lr=1e-3, layers={"0": "healthy", "8": "healthy"})
add("sgd_given", "healthy", nets.cnn, data=IMG, optimizer="sgd", lr=0.05, layers={"0": "healthy"})
add("adamw_vit", "healthy", nets.ViT, data=IMG, form="entry", optimizer="adamw", lr=1e-3, layers={"patch": "healthy"})


def p_div(lr: float, opt: str) -> Any:
    def go(c: Case) -> tuple[bool, str]:
        m = c.make()
        h = train(m, c.inputs(), c.target(), 20, lr, opt, batch=32)
        return not (h[-1] < 1e4 * h[0]), f"loss {h[0]:.2e} -> {h[-1]:.2e}"

    return go


add(
    "lr_diverges",
    "exploding",
    autoencoder,
    data={"x": X, "y": X * 10},
    optimizer="sgd",
    lr=30.0,
    proof=p_div(30.0, "sgd"),
)
add(
    "lr_diverges2",
    "exploding",
    lambda: nets.mlp(out=1),
    data={"x": X, "y": X[:, :1] * 3},
    form="onnx",
    optimizer="sgd",
    lr=10.0,
    proof=p_div(10.0, "sgd"),
)
add(
    "lr_diverges3",
    "exploding",
    lambda: nets.mlp(out=2, depth=6),
    data={"x": X, "y": X[:, :2] * 5},
    form="pt2",
    optimizer="momentum",
    lr=3.0,
    proof=p_div(3.0, "momentum"),
)
