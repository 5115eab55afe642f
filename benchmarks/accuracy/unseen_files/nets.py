"""Small healthy networks of the usual families, own classes and Sequentials."""

# mypy: disable-error-code="arg-type,index,misc,no-any-return,no-untyped-call,operator,union-attr"
# (torch types a module's attributes as tensor or module, and what it returns as anything; lambdas keep their loop's values)
# ruff: noqa: D101, D102, D103
# (the examiner's nets and proofs go by their names, and the shapes by their data)

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(
    n: int = 64, depth: int = 4, act: type[nn.Module] = nn.ReLU, din: int = 20, out: int = 5, he: bool = True
) -> nn.Sequential:
    ls: list[nn.Module] = []
    for each in range(depth):
        fc = nn.Linear(din if each == 0 else n, n)
        if he:
            nn.init.kaiming_normal_(
                fc.weight, nonlinearity="relu" if act is nn.ReLU else "linear" if act is nn.Sigmoid else "tanh"
            )
            nn.init.zeros_(fc.bias)
        ls += [fc, act()]
    return nn.Sequential(*ls, nn.Linear(n, out))


def cnn(c: int = 12, bn: bool = True) -> nn.Sequential:
    def b(i: int, o: int) -> list[nn.Module]:
        k = nn.Conv2d(i, o, 3, padding=1)
        nn.init.kaiming_normal_(k.weight, nonlinearity="relu")
        return [k, *([nn.BatchNorm2d(o)] if bn else []), nn.ReLU()]

    return nn.Sequential(
        *b(1, c),
        nn.MaxPool2d(2),
        *b(c, 2 * c),
        nn.MaxPool2d(2),
        *b(2 * c, 2 * c),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * c, 5),
    )


class ResBlock(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


class ResNet(nn.Module):
    def __init__(self, c: int = 12, depth: int = 3, detach: int = -1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, c, 3, padding=1)
        self.bn = nn.BatchNorm2d(c)
        self.blocks = nn.ModuleList(ResBlock(c) for _ in range(depth))
        self.fc = nn.Linear(c, 5)
        self.detach = detach

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)))
        for i, b in enumerate(self.blocks):
            if i == self.detach:
                x = x.detach()
            x = b(x)
        return self.fc(x.mean((2, 3)))


class ViT(nn.Module):
    def __init__(self, d: int = 32, depth: int = 3, first: bool = True) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, d, 4, 4)
        self.pos = nn.Parameter(torch.randn(1, 4, d) * 0.02)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(d, 4, 2 * d, 0.1, batch_first=True, norm_first=first),
            depth,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(d, 5)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patch(x).flatten(2).transpose(1, 2) + self.pos
        return self.head(self.encoder(t).mean(1))


class SeqCls(nn.Module):
    def __init__(self, cell: str = "GRU", h: int = 32, layers: int = 1, bi: bool = False, f: int = 6) -> None:
        super().__init__()
        self.rnn = getattr(nn, cell)(f, h, layers, batch_first=True, bidirectional=bi)
        self.head = nn.Linear(h * (2 if bi else 1), 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0].mean(1))


class UNet(nn.Module):
    def __init__(self, c: int = 8) -> None:
        super().__init__()

        def d(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())

        self.d1, self.d2, self.mid = d(1, c), d(c, 2 * c), d(2 * c, 2 * c)
        self.up = nn.ConvTranspose2d(2 * c, c, 2, 2)
        self.u1 = d(2 * c, c)
        self.out = nn.Conv2d(c, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.d1(x)
        b = self.mid(self.d2(F.max_pool2d(a, 2)))
        return self.out(self.u1(torch.cat([a, self.up(b)], 1)))


class Text(nn.Module):
    def __init__(self, rows: int = 500, d: int = 24, pad: bool = False) -> None:
        super().__init__()
        self.emb = nn.Embedding(rows, d, padding_idx=0 if pad else None)
        self.fc = nn.Linear(d, 48)
        self.head = nn.Linear(48, 5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(F.gelu(self.fc(self.emb(ids).mean(1))))


class Cut(nn.Module):
    """An MLP whose signal is cut between `b` and `c` in the way named."""

    def __init__(self, how: str, n: int = 48) -> None:
        super().__init__()
        self.how = how
        self.a, self.b, self.c, self.d = nn.Linear(20, n), nn.Linear(n, n), nn.Linear(n, n), nn.Linear(n, 5)
        if how == "argmax":
            self.emb = nn.Embedding(n, n)
        if how == "unused":
            self.spare = nn.Linear(n, n)
        if how == "unused2":
            self.aux = nn.Sequential(nn.Linear(n, n), nn.Tanh(), nn.Linear(n, 3))

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.b(F.gelu(self.a(x))))
        if self.how == "detach":
            h = h.detach()
        elif self.how == "nograd":
            with torch.no_grad():
                h = F.gelu(self.b(F.gelu(self.a(x))))
        elif self.how == "argmax":
            h = self.emb(h.argmax(-1))
        elif self.how == "round":
            h = torch.round(h * 4) / 4
        elif self.how == "sign":
            h = torch.sign(h)
        elif self.how == "step":
            h = (h > 0).float()
        elif self.how == "numpy":
            h = torch.tensor(h.detach().numpy())
        elif self.how == "zero":
            h = h * 0.0
        return self.d(F.gelu(self.c(h)))


class LoRA(nn.Module):
    def __init__(self, n: int, both_zero: bool, r: int = 4) -> None:
        super().__init__()
        self.base = nn.Linear(n, n)
        for p in self.base.parameters():
            p.requires_grad_(False)
        self.A, self.B = nn.Linear(n, r, bias=False), nn.Linear(r, n, bias=False)
        nn.init.zeros_(self.B.weight)
        if both_zero:
            nn.init.zeros_(self.A.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.B(self.A(x))


class LoRANet(nn.Module):
    def __init__(self, n: int = 32, both_zero: bool = False) -> None:
        super().__init__()
        self.l1, self.l2, self.head = LoRA(n, both_zero), LoRA(n, False), nn.Linear(n, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.l2(torch.tanh(self.l1(x)))))


class Scaled(nn.Module):
    def __init__(self, n: int, g: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n)
        self.up, self.down = nn.Linear(n, 2 * n), nn.Linear(2 * n, n)
        self.gamma = nn.Parameter(torch.full((n,), g))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.down(F.gelu(self.up(self.norm(x))))


class ScaledNet(nn.Module):
    def __init__(self, n: int = 32, depth: int = 4, g: float = 1e-6, din: int = 20) -> None:
        super().__init__()
        self.stem = nn.Linear(din, n)
        self.blocks = nn.Sequential(*[Scaled(n, g) for _ in range(depth)])
        self.head = nn.Linear(n, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)))


class SeqCls2(nn.Module):
    def __init__(self, cell: str) -> None:
        super().__init__()
        self.rnn = getattr(nn, cell)(8, 40, batch_first=True)
        self.head = nn.Linear(40, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class ViT10(ViT):
    def __init__(self) -> None:
        super().__init__(32, 2)
        self.head = nn.Linear(32, 10)
