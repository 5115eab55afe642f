"""Kind 6, the second part: straight-through, targets, reversal, checkpointing, transformers, the other exporters."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from . import nets
from .extra import CASES, H, add
from .injected import IMG, SEQ, TAB, TXT, X, kill, mul, put
from .instruments import Asserted, p_dead, p_healthy, p_nograd, p_transmission, rnd
from .recurrent import Net, orth

__all__ = ["CASES"]


# straight-through, targets, reversal, checkpointing, norms as parametrisations
class STE(nn.Module):
    def __init__(self, n: int = 32) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(20, n), nn.Linear(n, n), nn.Linear(n, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        h = h + (torch.round(h * 8) / 8 - h).detach()
        return self.c(torch.tanh(self.b(h)))


add("ste", H, STE, TAB, "entry", (), {"a": H, "b": H, "c": H})


class VQ(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(20, 16), nn.Linear(16, 20)
        self.register_buffer("codes", torch.randn(64, 16))

    def forward(self, x: Tensor) -> Tensor:
        z = self.enc(x)
        q = self.codes[torch.cdist(z, self.codes).argmin(1)]
        return self.dec(z + (q - z).detach())


add("vq", H, VQ, {"x": X, "y": X.clone()}, "entry", (), {"enc": H, "dec": H}, p_healthy(drop=0))


class Byol(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.online, self.target, self.pred = (
            nets.mlp(32, 2, nn.ReLU, 20, 16),
            nets.mlp(32, 2, nn.ReLU, 20, 16),
            nn.Linear(16, 16),
        )
        self.target.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        p = self.pred(self.online(x))
        with torch.no_grad():
            t = self.target(x)
        return p - t


add("byol", H, Byol, {"x": X}, "entry", (), {"online.0": H, "pred": H, "target.0": H}, p_healthy(gated=True, drop=0))


class Rev(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # noqa: ARG004
        return -g


class DANN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.cls, self.dom = nets.mlp(32, 2, nn.ReLU, 20, 32), nn.Linear(32, 5), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.cls(h), self.dom(Rev.apply(h))


add("dann", H, DANN, {"x": X}, "entry", (), {"body.0": H, "cls": H, "dom": H})


class Ck(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(20, 32), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        h = checkpoint(lambda t: torch.relu(self.b(t)), h, use_reentrant=False)
        return self.c(h)


add("checkpointing", H, Ck, TAB, "entry", (), {"a": H, "b": H, "c": H})
add(
    "spectral",
    H,
    lambda: nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(20, 48)),
        nn.Tanh(),
        nn.utils.parametrizations.weight_norm(nn.Linear(48, 48)),
        nn.Tanh(),
        nn.Linear(48, 5),
    ),
    TAB,
    "entry",
    (),
    {"4": H},
)


class Drop(nn.Module):
    def __init__(self, depth: int = 6) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(20, 32), nn.Linear(32, 5)
        self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for b in self.blocks:
            if not self.training or torch.rand(()) > 0.5:
                x = x + 0.5 * torch.tanh(b(x))
        return self.head(x)


add(
    "layerdrop",
    H,
    Drop,
    TAB,
    "entry",
    (),
    {"stem": H, "head": H, "blocks.0": H, "blocks.3": H, "blocks.5": H},
    p_healthy(gated=True),
)


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mu, self.lv, self.d1, self.d2 = (
            nn.Linear(20, 48),
            nn.Linear(48, 8),
            nn.Linear(48, 8),
            nn.Linear(8, 48),
            nn.Linear(48, 20),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.enc(x))
        m, each = self.mu(h), self.lv(h)
        return self.d2(F.gelu(self.d1(m + torch.randn_like(m) * (0.5 * each).exp())))


add("vae", H, VAE, {"x": X, "y": X.clone()}, "entry", (), {"enc": H, "mu": H, "lv": H, "d2": H}, p_healthy(drop=0))


class Siren(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.ModuleList([nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 5)])
        for i, k in enumerate(self.l):
            b = 1 / 20 if i == 0 else (6 / 64) ** 0.5 / 30
            nn.init.uniform_(k.weight, -b, b)

    def forward(self, x: Tensor) -> Tensor:
        for k in self.l[:-1]:
            x = torch.sin(30 * k(x))
        return self.l[-1](x)


add("siren", H, Siren, TAB, "entry", (), {"l.0": H, "l.2": H}, p_healthy(lr=1e-4, steps=200))


class TwoIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.u, self.v, self.o = nn.Embedding(300, 16), nn.Embedding(400, 16), nn.Linear(16, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.o(self.u(user) * self.v(item))


g8 = torch.Generator().manual_seed(8)
add(
    "recsys",
    H,
    TwoIn,
    {
        "user": torch.randint(0, 90, (128,), generator=g8),
        "item": torch.randint(0, 50, (128,), generator=g8),
        "y": torch.rand(128, 1, generator=g8),
    },
    "entry",
    (),
    {"u": H, "v": H, "o": H},
    p_healthy(1e-4),
)


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    sizes: dict[str, Any] = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 48, "max_position_embeddings": 20, "num_labels": 2}
    return BertForSequenceClassification(BertConfig(**sizes))


class HF(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.m = bert()

    def forward(self, ids: Tensor) -> Tensor:
        return self.m(input_ids=ids).logits


HFD = {"ids": TXT["ids"] % 60, "y": TXT["y"]}
add(
    "bert",
    H,
    HF,
    HFD,
    "entry",
    (),
    {"m.classifier": H, "m.bert.encoder.layer.0.output.dense": H},
    p_healthy(gated=True, lr=3e-3, steps=100, drop=0.99),
)
add(
    "bert_dead_ffn",
    "dead",
    HF,
    HFD,
    "entry",
    ("m.bert.encoder.layer.1.intermediate.dense", "m.bert.encoder.layer.1.intermediate.intermediate_act_fn"),
    {"m.classifier": H},
    p_nograd(("m.bert.encoder.layer.1.intermediate.dense.weight",)),
    put("m.bert.encoder.layer.1.intermediate.dense", -100.0, "bias"),
)
add(
    "bert_x1e6",
    "exploding",
    HF,
    HFD,
    "entry",
    ("m.bert.encoder.layer.0.output.LayerNorm", "m.bert.pooler.dense", "m.classifier"),
    {"m.classifier": "exploding|healthy"},
    Asserted("head x1e6"),
    mul("m.classifier", 1e6),
)
# the other ONNX exporter (torch's default), other formats
for nm, b, d, v, mut, cul, lay, pr in [
    ("cnn", nets.cnn, IMG, H, None, (), {"0": H, "13": H}, None),
    (
        "cnn_dead",
        lambda: nets.cnn(bn=False),
        IMG,
        "dead",
        put("6", -1000.0, "bias"),
        ("6", "7"),
        {"0": "dead", "3": "dead"},
        p_dead("7"),
    ),
    ("mlp_x1e6", nets.mlp, TAB, "exploding", mul("4", 1e6), ("4",), {"0": "exploding"}, p_transmission("0", 1e4, 1e20)),
    ("vit", nets.ViT, IMG, H, None, (), {"patch": H, "head": H}, None),
    ("gru", nets.SeqCls, SEQ, H, None, (), {"head": H}, None),
    ("resnet_frozenless", nets.ResNet, IMG, H, None, (), {"stem": H, "fc": H}, None),
    ("kill60", lambda: nets.mlp(n=100), TAB, "dead", kill("4", 0.6), ("4", "5"), {"0": H}, p_dead("5", (0.59, 0.65))),
    (
        "sigmoid",
        lambda: nn.Sequential(
            *[y for each in range(14) for y in (nn.Linear(20 if each == 0 else 48, 48), nn.Sigmoid())], nn.Linear(48, 5)
        ),
        TAB,
        "vanishing",
        None,
        tuple(str(k) for k in range(29)),
        {"0": "vanishing", "28": H},
        p_transmission("0", 0, 1e-8),
    ),
    (
        "lstm_last",
        lambda: Net("LSTM", 6, 24),
        {"x": SEQ["x"], "y": SEQ["y"].clamp(max=3)},
        H,
        None,
        (),
        {"head": H},
        Asserted("default init"),
    ),
    (
        "rnn_van",
        lambda: orth(Net("RNN", 6, 24), 0.2),
        {"x": rnd(77, 64, 40, 6), "y": torch.randint(0, 4, (64,), generator=torch.Generator().manual_seed(78))},
        "vanishing",
        None,
        (),
        {"head": H},
        Asserted("orthogonal x 0.2, 40 steps"),
    ),
]:
    for f in ("onnx2", "onnxeval", "script"):  # TorchScript, which needs --trust, only keeps its seed
        add(f"{f}_{nm}", v, b, d, f, cul, lay, pr, mut)
