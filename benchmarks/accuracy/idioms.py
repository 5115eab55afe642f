"""Ways in which people really write networks: what must not confuse the instrument, and what breaks in the same spelling."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case, Problem, problem
from .nets import data, plain, untouched
from .surgery import Apply, bias, broken, times

Build = Callable[[], Problem]


class Function(nn.Module):
    """An encoder, a function of its features and of a head: the shortest way to write an idiom down."""

    def __init__(self, use: Callable[[Function, Tensor], Any], width: int = 32, inputs: int = 20) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.head = nn.Linear(width, 5)
        self.use = use

    def forward(self, x: Tensor) -> Any:
        """(B, 20) → whatever `use` gives."""
        return self.use(self, x)


def function(use: Callable[[Any, Tensor], Any], inputs: int = 20) -> Build:
    """A problem on a `Function`."""
    return lambda: problem(Function(use, inputs=inputs), data(64, inputs))


class Reverse(torch.autograd.Function):
    """Gradient reversal (Ganin 2015)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        """Identity."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """−g."""
        return -gradient


class Nothing(Reverse):
    """A custom backward that forgets its gradient."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        """0."""
        return torch.zeros_like(gradient)


def _apply(kind: type[torch.autograd.Function], x: Tensor) -> Any:
    return kind.apply(x)  # type: ignore[no-untyped-call]


def _straight_through(net: Any, x: Tensor) -> Any:
    soft = net.encoder(x)
    return net.head(soft + (torch.round(soft) - soft).detach())


def _siamese_stop(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    features = net.encoder(x)
    return net.head(features), features.detach()


def _with_metric(net: Any, x: Tensor) -> dict[str, Tensor]:
    logits = net.head(net.encoder(x))
    with torch.no_grad():
        sure = logits.softmax(-1).amax(-1)
    return {"logits": logits, "predicted": logits.argmax(-1), "confidence": sure}


def _gumbel(net: Any, x: Tensor) -> Any:
    return net.head(F.gumbel_softmax(net.encoder(x), hard=True))


def _hooked(factor: float) -> Callable[[Any, Tensor], Any]:
    def use(net: Any, x: Tensor) -> Any:
        features = net.encoder(x)
        if features.requires_grad:
            features.register_hook(lambda gradient: gradient * factor)
        return net.head(features)

    return use


# Rebuilt after a first run, the label kept: the first version left an encoder layer out, which is dead by definition.
def physics(net: Any, x: Tensor) -> Tensor:
    """A residual with the derivative of the net's output after its input inside (PINN)."""
    x = x.detach().requires_grad_(True)
    hidden = torch.tanh(net.encoder[2](torch.tanh(net.encoder[0](x))))
    u = net.head(hidden).sum(1)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return torch.cat([slope, u[:, None]], 1)


def _fourier(net: Any, x: Tensor) -> Any:
    return net.head(torch.fft.fft(net.encoder(x), norm="ortho").real)


class Truncated(nn.Module):
    """Truncated back-propagation: the state is detached every ten steps (`lost`: at the very end)."""

    def __init__(self, lost: bool) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 24)
        self.head = nn.Linear(24, 3)
        self.lost = lost

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, 6) → (B, 3)."""
        hidden = x.new_zeros(len(x), 24)
        for index, step in enumerate(x.unbind(1)):
            if index % 10 == 0:
                hidden = hidden.detach()
            hidden = self.cell(step, hidden)
        out: Tensor = self.head(hidden.detach() if self.lost else hidden)
        return out


class Pooled(nn.Module):
    """Two convolutions and a global pooling over a large image."""

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        self.head = nn.Linear(8, 5)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, 5)."""
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = x.mean((2, 3)) if self.pool == "mean" else x.sum((2, 3)) if self.pool == "sum" else x.amax((2, 3))
        out: Tensor = self.head(x)
        return out


class Broadcast(nn.Module):
    """A latent code spread over all pixels, then 1×1 convolutions (Watters 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.code = nn.Linear(20, 16)
        self.conv1, self.conv2 = nn.Conv2d(18, 16, 1), nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 3, 96, 96)."""
        grid = torch.linspace(-1, 1, 96)
        plane = torch.stack([grid[:, None].expand(96, 96), grid.expand(96, 96)]).expand(len(x), 2, 96, 96)
        spread = self.code(x)[:, :, None, None].expand(-1, -1, 96, 96)
        out: Tensor = self.conv2(torch.relu(self.conv1(torch.cat([spread, plane], 1))))
        return out


class Spare(nn.Module):
    """An MLP with a root parameter that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.body = plain(2)
        self.extra = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        out: Tensor = self.body(x)
        return out


class SparseBag(nn.Module):
    """Embeddings with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(500, 16, sparse=True, mode="sum")
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, S) → (B, 3)."""
        out: Tensor = self.head(self.table(ids))
        return out


class Masked(nn.Module):
    """Attention whose mask hides everything from one token."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(16, 48), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, 16) → (B, S, 3)."""
        q, k, v = self.qkv(x).chunk(3, -1)
        mask = torch.zeros(x.shape[1], x.shape[1])
        mask[2] = -math.inf
        out: Tensor = self.head(((q @ k.transpose(1, 2)) / 4 + mask).softmax(-1) @ v)
        return out


def _ended(end: nn.Module, outputs: int = 1, *, shift: float = 0.0, grow: float = 1.0) -> Build:
    def build() -> Problem:
        layers = OrderedDict(plain(3, outputs=outputs).named_children())
        head = layers["head"]
        head.get_parameter("bias").data.add_(shift)
        head.get_parameter("weight").data.mul_(grow)
        layers["end"] = end
        return problem(nn.Sequential(layers), data())

    return build


def _cast(
    dtype: torch.dtype, name: str = "", fault: Callable[[nn.Module], object] | None = None, loss: float | None = None
) -> Build:
    def build() -> Problem:
        if name:
            return _cast_zoo(name, dtype)
        net = plain(4, 32)
        if fault is not None:
            fault(net)
        goal = torch.randint(0, 5, (64,))
        more: dict[str, Any] = {}
        if loss is not None:
            more = {
                "targets": [goal],
                "loss": lambda out, y: loss * F.cross_entropy(out, y),
                "loss_name": "cross-entropy",
            }
        return problem(net.to(dtype), data().to(dtype), **more)

    return build


def _cast_zoo(name: str, dtype: torch.dtype) -> Problem:
    made = broken(name)()
    inputs = tuple(x.to(dtype) if x.is_floating_point() else x for x in made.batches[0])
    return Problem(made.module.to(dtype), [inputs])


def born(width: int, depth: int, dead: bool) -> Build:
    """A narrow ReLU net, redrawn until an independent count says that a whole layer is off for all of 4096 inputs, or that none
    is even half dead."""

    def build() -> Problem:
        for _ in range(2000):
            net = plain(depth, width, inputs=4, outputs=1)
            x, shares = torch.randn(4096, 4), []
            with torch.no_grad():
                for module in net:
                    x = module(x)
                    if isinstance(module, nn.ReLU):
                        shares.append(float((x <= 0).all(0).float().mean()))
            if (max(shares) == 1.0) if dead else (max(shares) < 0.5):
                return problem(net, torch.randn(256, 4), torch.randn(256, 4))
        raise AssertionError("no such net was drawn")

    return build


def _case(name: str, build: Build, verdict: str, why: str, *culprits: str, **layers: str) -> Case:
    verdicts = {layer.replace("_", "."): said for layer, said in layers.items()}
    return Case(f"idioms/{name}", "construction", build, verdict, why, culprits, verdicts)


def _recompute(reentrant: bool) -> Build:
    return function(lambda net, x: net.head(checkpoint(net.encoder, x, use_reentrant=reentrant)))


def _gradients() -> list[Case]:
    return [
        _case("straight-through", function(_straight_through), HEALTHY, "the soft value carries the gradient"),
        _case("gumbel-hard", function(_gumbel), HEALTHY, "the soft sample carries the gradient"),
        _case(
            "stop-gradient-beside",
            function(_siamese_stop),
            HEALTHY,
            "one output is detached on purpose, the encoder is reached by the other",
        ),
        _case("argmax-as-metric", function(_with_metric), HEALTHY, "the argmax is only reported"),
        _case(
            "gradient-reversal",
            function(lambda net, x: net.head(_apply(Reverse, net.encoder(x)))),
            HEALTHY,
            "the sign changes no size",
        ),
        _case(
            "custom-backward-zero",
            function(lambda net, x: net.head(_apply(Nothing, net.encoder(x)))),
            DEAD,
            "a custom backward returns zeros",
            encoder_0=DEAD,
            head=HEALTHY,
        ),
        _case(
            "hook-zero",
            function(_hooked(0.0)),
            DEAD,
            "a tensor hook sets the gradient to zero",
            encoder_0=DEAD,
            head=HEALTHY,
        ),
        _case(
            "hook-times1e-8",
            function(_hooked(1e-8)),
            VANISHING,
            "a tensor hook shrinks the gradient",
            encoder_0=VANISHING,
            head=HEALTHY,
        ),
        _case("checkpointed", _recompute(False), HEALTHY, "recomputation changes no gradient"),
        _case("physics-informed", function(physics), HEALTHY, "a derivative inside forward is differentiable"),
        _case("fourier-mixing", function(_fourier), HEALTHY, "a unitary transform keeps norms"),
        _case(
            "truncated-bptt",
            lambda: problem(Truncated(False), torch.randn(8, 30, 6)),
            HEALTHY,
            "a remedy of Pascanu 2013: the last steps teach the cell",
        ),
        _case(
            "state-lost",
            lambda: problem(Truncated(True), torch.randn(8, 30, 6)),
            DEAD,
            "the state is detached in front of the head",
            "cell",
        ),
        _case(
            "sparse-gradients",
            lambda: problem(SparseBag(), torch.randint(0, 500, (16, 6))),
            HEALTHY,
            "a sparse gradient is a gradient",
        ),
        _case(
            "spare-matrix",
            lambda: problem(Spare(), data()),
            DEAD,
            "a trainable matrix that nothing reads never moves",
            "",
            "extra",
        ),
        _case(
            "detached-input-branch",
            function(lambda net, x: net.head(net.encoder(x)) + net.head(net.encoder(x).detach())),
            HEALTHY,
            "the encoder is reached by the first use",
        ),
    ]


def _ends() -> list[Case]:
    return [
        _case("output-relu-dead", _ended(nn.ReLU(), shift=-100.0), DEAD, "the output ReLU never fires", "head", "end"),
        _case("output-relu", _ended(nn.ReLU(), 8), HEALTHY, "some outputs fire, some samples do not: usual"),
        _case("output-softplus", _ended(nn.Softplus(), 2), HEALTHY, "a positive output"),
        _case(
            "hardtanh-off-scale",
            lambda: problem(plain(3, activation=lambda: nn.Hardtanh(-1e-6, 1e-6)), data()),
            DEAD,
            "beyond its corners on nearly every value the slope is exactly 0",
        ),
        _case("exp-overflow", _ended(Apply(torch.exp), 3, grow=1e4), EXPLODING, "exp overflows float32", "end", "head"),
        _case(
            "denormal-scale-inside",
            lambda: problem(plain(4, activation=lambda: nn.Sequential(nn.ReLU(), Apply(lambda x: x * 1e-5))), data()),
            VANISHING,
            "four constants of 1e-5 in series",
        ),
        _case(
            "masked-everything",
            lambda: problem(Masked(), torch.randn(4, 6, 16)),
            EXPLODING,
            "softmax over a row of −inf is NaN",
            "qkv",
            "softmax()",
            "softmax",
            "",
        ),
        _case(
            "clip-scale-100",
            broken("two_towers", lambda net: net.get_parameter("logit_scale").data.fill_(math.log(100.0))),
            HEALTHY,
            "CLIP's temperature ends at 100",
        ),
    ]


def _pooled(pool: str, size: int) -> Build:
    return lambda: problem(Pooled(pool), torch.randn(2, 1, size, size))


def _counts() -> list[Case]:
    why = "the mean over S positions divides each one's gradient by S and the norm by √S: a matter of counting"
    found = [_case(f"mean-pool-{size}", _pooled("mean", size), HEALTHY, why) for size in (64, 256, 1024, 2048)]
    found += [
        _case(
            f"sum-pool-{size}",
            _pooled("sum", size),
            HEALTHY,
            "a sum over positions has a large norm by counting alone",
        )
        for size in (64, 256)
    ]
    found.append(
        _case(
            "max-pool-512",
            _pooled("max", 512),
            HEALTHY,
            "one pixel of each channel gets all the gradient",
        )
    )
    found.append(
        _case(
            "broadcast-latent",
            lambda: problem(Broadcast(), data(4)),
            HEALTHY,
            "a code read by 9216 pixels hears the sum of them: counting",
        )
    )
    return found


def _numbers() -> list[Case]:
    # float16-overflow: in this draw values reach 6.1e4 and stay finite, gradients overflow (its first reason said values); label
    # and culprit are by construction and stand. float16-values-overflow came later: finite weights, infinite values.
    found = [
        _case("bfloat16-mlp", _cast(torch.bfloat16), HEALTHY, "bfloat16 has the range of float32"),
        _case("float16-mlp", _cast(torch.float16), HEALTHY, "values of ordinary size"),
        _case("float64-gpt", _cast(torch.float64, "gpt"), HEALTHY, "only the precision differs"),
        _case("bfloat16-gpt", _cast(torch.bfloat16, "gpt"), HEALTHY, "only the precision differs"),
        _case("bfloat16-resnet", _cast(torch.bfloat16, "resnet"), HEALTHY, "only the precision differs"),
        _case(
            "float16-overflow",
            _cast(torch.float16, fault=times("linear1", 1e4)),
            EXPLODING,
            "weights × 1e4 on the only path take gradients beyond 65504",
            "linear1",
            "linear2",
        ),
        _case(
            "float16-values-overflow",
            _cast(torch.float16, fault=times("linear1", 3e4)),
            EXPLODING,
            "weights × 3e4 are finite, the values behind them are beyond 65504",
            "linear1",
            "linear2",
        ),
        _case(
            "float16-loss-times1e-6",
            _cast(torch.float16, loss=1e-6),
            VANISHING,
            "gradients below 6e-8 are stored as 0 in float16",
        ),
        _case(
            "float32-loss-times1e-6", _cast(torch.float32, loss=1e-6), HEALTHY, "the same loss in float32 loses nothing"
        ),
    ]
    for width, depth in ((2, 8), (3, 20), (2, 4), (4, 30)):
        found.append(
            _case(
                f"born-dead-{width}x{depth}",
                born(width, depth, True),
                DEAD,
                "counted: a whole layer is off on 4096 inputs",
            )
        )
    for width, depth in ((3, 3), (4, 4), (8, 3)):
        found.append(
            _case(
                f"born-alive-{width}x{depth}",
                born(width, depth, False),
                HEALTHY,
                "counted: no layer has half of its units off on 4096 inputs",
            )
        )
    return found


def _norms() -> list[Case]:
    undone = "ε takes part of it, the norms behind restore the rest; in T·‖y‖ and g·‖W‖ nothing is lost"
    found = []
    for factor in (1e-4, 1e-6):
        net = lambda f=factor: _scaled(plain(6, norm=nn.BatchNorm1d, bias=False), f)  # noqa: E731
        found.append(_case(f"bn-mlp-linear2-times{factor:g}", net, HEALTHY, undone))
    for name, layer in (("resnet", "layer2.0.conv1"), ("vgg_bn", "0.7"), ("densenet", "2.conv1")):
        found.append(_case(f"{name}-{layer}-times1e-4", broken(name, times(layer, 1e-4)), HEALTHY, undone))
    found.append(
        _case(
            "bn-dead-by-shift",
            lambda: _shifted(),
            DEAD,
            "a norm's bias of −20 with gain 1 silences every unit",
            "norm2",
            "linear2",
            "act2",
        )
    )
    found.append(
        _case(
            "eval-batch-norm",
            lambda: problem(plain(6, norm=nn.BatchNorm1d), data(), mode="eval"),
            HEALTHY,
            "running statistics at their start change nothing",
        )
    )
    found.append(
        _case(
            "default-relu-depth5",
            lambda: problem(plain(5, initialise=untouched), data()),
            HEALTHY,
            "torch's default at depth 5: T = 0.41^5 = 0.012, and such nets train",
        )
    )
    return found


def _scaled(net: nn.Sequential, factor: float) -> Problem:
    times("linear2", factor)(net)
    return problem(net, data())


def _shifted() -> Problem:
    net = plain(5, norm=nn.BatchNorm1d)
    bias("norm2", -20.0)(net)
    return problem(net, data())


def cases() -> list[Case]:
    """All of the family."""
    return [*_gradients(), *_ends(), *_counts(), *_numbers(), *_norms()]
