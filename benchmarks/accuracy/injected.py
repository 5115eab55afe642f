"""A known layer of a healthy net, broken on purpose: values. (`injected_paths` breaks paths.)

What counts as a fault here:

* A layer on the only path (no skip, no norm) scaled by 1e-3 … 1e-8 vanishes: 'weights tend to 0', the signal decays at it. (Truth
  `symptom`: a rehearsal of a six-layer ReLU net with ONE such layer shows that it reopens under plain SGD, because that layer's own
  gradient is healthy: the layers in front have moved 8 % of the usual after 20 steps and as far as usual after 500. So by the
  definition of a gate it may be called one. Two in series × 1e-4: the layers in front move less than 1e-6 of the usual in 500.)
* In a residual branch, one factor × 1e-6 is a gate: its own gradient is healthy and after 20 SGD steps its partner has moved 2.5 to
  16 % of the usual (rehearsed on each net here in eval mode, one seed; first on GPT alone, the others after a first run). Two
  factors in series × 1e-6 each hear 1e-6 of the other: vanishing (rehearsed: they move 1e-6 of the usual, after 200 steps too).
  Two labels fell in that later rehearsal. GPT's whole qkv × 1e-6 was called a gate, but q and k are in series and move 2e-8 of the
  usual: vanishing. ViT's two MLP factors were called vanishing, but the first one's bias drives the second: they move 1 and
  17 %, a grey zone, left out.
* In front of a normalisation the scale is undone, as long as the variance stays above its ε.
* × 1e4 … 1e6 on the only path explodes; in front of a norm it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from . import injected_gates, injected_paths
from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case, Problem, problem
from .nets import data, plain, untouched
from .surgery import Fault, bias, broken, fill, one, rows, times

Nets = dict[str, Callable[[], nn.Module]]
MLPS: Nets = {
    "relu-mlp": plain,
    "gelu-mlp": lambda: plain(activation=nn.GELU),
    "silu-mlp": lambda: plain(activation=nn.SiLU, initialise=untouched, depth=3),
    "tanh-mlp": lambda: plain(activation=nn.Tanh, initialise=lambda layer: nn.init.xavier_normal_(layer.weight)),
    "sigmoid-mlp": lambda: plain(
        activation=nn.Sigmoid, depth=2, initialise=lambda layer: nn.init.xavier_normal_(layer.weight)
    ),
    "bn-mlp": lambda: plain(norm=nn.BatchNorm1d),
    "ln-mlp": lambda: plain(norm=nn.LayerNorm, initialise=untouched),
    "ln-mlp-no-bias": lambda: plain(norm=nn.LayerNorm, bias=False),
}


def mlp(name: str, *faults: Fault) -> Callable[[], Problem]:
    """One of `MLPS` with faults in it, on two batches."""

    def build() -> Problem:
        net = MLPS[name]()
        for fault in faults:
            fault(net)
        return problem(net, data(), data())

    return build


def _small() -> list[Case]:
    found = []
    for factor in (1e-3, 1e-4, 1e-6, 1e-8):
        for net, layer in (("relu-mlp", "linear3"), ("gelu-mlp", "linear4"), ("tanh-mlp", "linear2")):
            why = f"the only path goes through weights × {factor:g}"
            name = f"injected/{net}-{layer}-times{factor:g}"
            found.append(Case(name, "symptom", mlp(net, times(layer, factor)), VANISHING, why, (layer,)))
    for net, layers, factor in (
        ("plain_cnn", "conv2", 1e-6),
        ("plain_cnn", "fc1", 1e-4),
        ("vgg", "0.5", 1e-6),
        ("vgg", "0.5", 1e-3),
        ("squeezenet", "4.squeeze", 1e-6),
        ("autoencoder", "0.4", 1e-6),
        ("autoencoder", "1.0", 1e-4),
        ("deep_sets", "rho.0", 1e-6),
    ):
        why = f"the only path goes through weights × {factor:g}"
        found.append(
            Case(
                f"injected/{net}-{layers}-times{factor:g}",
                "symptom",
                broken(net, times(layers, factor)),
                VANISHING,
                why,
                (layers,),
            )
        )
    for factor in (1e-4, 1e-6):
        both = mlp("relu-mlp", times("linear2", factor), times("linear4", factor))
        found.append(
            Case(
                f"injected/relu-mlp-two-times{factor:g}",
                "construction",
                both,
                VANISHING,
                "two tiny layers in series do not reopen each other",
                ("linear2", "linear4"),
            )
        )
    # in front of a norm
    undone = "a norm behind it undoes the scale, its variance is above ε"
    for net, layer, factor in (
        ("bn-mlp", "linear3", 1e-2),
        ("ln-mlp-no-bias", "linear3", 1e-2),
        ("bn-mlp", "linear3", 1e4),
        ("ln-mlp", "linear3", 1e4),
        ("ln-mlp-no-bias", "linear1", 1e3),
    ):
        found.append(
            Case(f"injected/{net}-{layer}-times{factor:g}", "theory", mlp(net, times(layer, factor)), HEALTHY, undone)
        )
    for net, layer, factor in (
        ("resnet", "layer2.0.conv1", 1e-2),
        ("resnet", "layer2.0.conv1", 1e4),
        ("vgg_bn", "0.7", 1e4),
        ("vgg_bn", "0.7", 1e-2),
        ("mobilenet", "4.block.0", 1e3),
        ("unet", "middle.0", 1e4),
    ):
        found.append(
            Case(
                f"injected/{net}-{layer}-times{factor:g}", "theory", broken(net, times(layer, factor)), HEALTHY, undone
            )
        )
    drowned = "its values × 1e-6 drown in its own bias, and the norm behind scales both: nothing of the input is left"
    found.append(
        Case(
            "injected/ln-mlp-linear3-times1e-06",
            "theory",
            mlp("ln-mlp", times("linear3", 1e-6)),
            VANISHING,
            drowned,
            ("linear3",),
        )
    )
    return [*found, *_branches()]


def _branches() -> list[Case]:
    """Residual branches."""
    gate = "one tiny factor in a residual branch is a gate: its own gradient is healthy and it opens in a few steps"
    series = "two tiny factors in series: each hears 1e-6 of the other, in rehearsal they move 1e-6 of the usual"
    found = []
    for net, layer in (
        ("gpt", "h.1.mlp.2"),
        ("gpt", "h.1.attn.proj"),
        ("vit", "blocks.1.mlp.2"),
        ("llama", "layers.1.o_proj"),
        ("llama", "layers.1.down_proj"),
        ("mlp_mixer", "blocks.1.mix_channels.2"),
    ):
        found.append(
            Case(f"injected/{net}-{layer}-times1e-6", "rehearsal", broken(net, times(layer, 1e-6)), HEALTHY, gate)
        )
    for net, layer in (("gpt", "h.1.mlp.0"), ("vit", "blocks.1.mlp.0")):
        found.append(
            Case(f"injected/{net}-{layer}-times1e-6", "rehearsal", broken(net, times(layer, 1e-6)), HEALTHY, gate)
        )
    stuck = "q and k × 1e-6 are in series: in rehearsal they move 2e-8 of the usual, after 200 steps too"
    fused = broken("gpt", times("h.1.attn.qkv", 1e-6))
    found.append(Case("injected/gpt-h.1.attn.qkv-times1e-6", "rehearsal", fused, VANISHING, stuck, ("h.1.attn.qkv",)))
    zero_query = "a query of zero is a recommended start (Yang 2022): it hears the keys, and opens"
    found.append(
        Case(
            "injected/gpt-h.1-query-times1e-6",
            "practice",
            broken("gpt", rows("h.1.attn.qkv", 0, 3, 1e-6)),
            HEALTHY,
            zero_query,
        )
    )
    found.append(
        Case(
            "injected/llama-layers.1.q_proj-times1e-6",
            "practice",
            broken("llama", times("layers.1.q_proj", 1e-6)),
            HEALTHY,
            zero_query,
        )
    )
    for net, first, second in (
        ("gpt", "h.1.mlp.0", "h.1.mlp.2"),
        ("llama", "layers.1.v_proj", "layers.1.o_proj"),
        ("mlp_mixer", "blocks.1.mix_tokens.0", "blocks.1.mix_tokens.2"),
    ):
        pair = broken(net, times(first, 1e-6), times(second, 1e-6))
        found.append(
            Case(
                f"injected/{net}-{first}-and-{second}-times1e-6", "rehearsal", pair, VANISHING, series, (first, second)
            )
        )
    silent = "a norm's gain of 1e-6 on the only path to the head: a gate by method, its own gradient is healthy"
    found.append(
        Case("injected/vit-norm-times1e-6", "construction", broken("vit", times("norm", 1e-6)), HEALTHY, silent)
    )
    return found


def _large() -> list[Case]:
    found = []
    for factor in (1e4, 1e5, 1e6):
        for net, layer in (("relu-mlp", "linear3"), ("gelu-mlp", "linear4")):
            why = f"the only path goes through weights × {factor:g}"
            found.append(
                Case(
                    f"injected/{net}-{layer}-times{factor:g}",
                    "construction",
                    mlp(net, times(layer, factor)),
                    EXPLODING,
                    why,
                    (layer,),
                )
            )
    for net, layer, factor in (
        ("plain_cnn", "conv2", 1e5),
        ("vgg", "0.7", 1e6),
        ("unet", "out", 1e5),
        ("autoencoder", "1.2", 1e5),
        ("resnet", "fc", 1e5),
        ("gpt", "ln_f", 1e5),
        ("deep_sets", "phi.2", 1e5),
        ("squeezenet", "6.squeeze", 1e6),
    ):
        why = f"the only path goes through weights × {factor:g}"
        found.append(
            Case(
                f"injected/{net}-{layer}-times{factor:g}",
                "construction",
                broken(net, times(layer, factor)),
                EXPLODING,
                why,
                (layer,),
            )
        )
    for net, layer in (("tanh-mlp", "linear2"), ("sigmoid-mlp", "linear1"), ("tanh-mlp", "linear0")):
        act = layer.replace("linear", "act")
        found.append(
            Case(
                f"injected/{net}-{layer}-times1000",
                "construction",
                mlp(net, times(layer, 1e3)),
                VANISHING,
                "weights × 1000 saturate every unit",
                (layer, act),
            )
        )
    for net, layer in (("tanh-mlp", "linear2"), ("sigmoid-mlp", "linear1")):
        act = layer.replace("linear", "act")
        for value in (30.0, -30.0):
            found.append(
                Case(
                    f"injected/{net}-{layer}-bias{value:g}",
                    "construction",
                    mlp(net, bias(layer, value)),
                    VANISHING,
                    "a bias of 30 saturates every unit",
                    (layer, act),
                )
            )
    few = "fewer than half of the units are saturated"
    found.append(
        Case(
            "injected/tanh-mlp-linear2-bias30-of-quarter",
            "construction",
            mlp("tanh-mlp", bias("linear2", 30.0, 0.25)),
            HEALTHY,
            few,
        )
    )
    most = "three quarters of the units are saturated"
    found.append(
        Case(
            "injected/tanh-mlp-linear2-bias30-of-most",
            "construction",
            mlp("tanh-mlp", bias("linear2", 30.0, 0.75)),
            VANISHING,
            most,
            ("linear2", "act2"),
        )
    )
    logits = "logits × 1e4 make every softmax one-hot: q and k get no gradient worth the name"
    for net, path, blocks in (("gpt", "h.1.attn.qkv", 3), ("vit", "blocks.1.attn.qkv", 3)):
        found.append(
            Case(
                f"injected/{net}-logits-times1e4",
                "construction",
                broken(net, rows(path, 0, blocks, 1e4 if net == "vit" else 1e6)),
                VANISHING,
                logits,
            )
        )
    found.append(
        Case(
            "injected/llama-logits-times1e5",
            "construction",
            broken("llama", times("layers.1.q_proj", 1e5)),
            VANISHING,
            logits,
            ("layers.1.q_proj", "layers.1.k_proj", "layers.1"),
        )
    )
    found.append(
        Case(
            "injected/bert-logits-times1e5",
            "construction",
            broken(
                "bert", lambda net: net.get_parameter("encoder.layers.1.self_attn.in_proj_weight").data[:32].mul_(1e5)
            ),
            VANISHING,
            logits,
        )
    )
    return found


def _nonfinite() -> list[Case]:
    found = []
    for net, layer in (
        ("plain_cnn", "conv2"),
        ("resnet", "layer2.0.conv1"),
        ("resnet", "layer3.0.bn1"),
        ("gpt", "h.1.mlp.0"),
        ("vit", "blocks.0.attn.qkv"),
        ("lstm_classifier", "lstm.weight_hh_l0"),
        ("gru_classifier", "gru.weight_ih_l0"),
        ("unet", "merge2.0"),
        ("llama", "embed_tokens"),
    ):
        value = math.nan if len(layer) % 2 else math.inf
        owner = layer.removesuffix(".weight_hh_l0").removesuffix(".weight_ih_l0")
        found.append(
            Case(
                f"injected/{net}-{owner}-{value}",
                "construction",
                broken(net, one(layer, value)),
                EXPLODING,
                f"one weight is {value}",
                (owner,),
            )
        )
    for value in (math.nan, math.inf, -math.inf):
        found.append(
            Case(
                f"injected/relu-mlp-linear2-{value}",
                "construction",
                mlp("relu-mlp", one("linear2", value)),
                EXPLODING,
                f"one weight is {value}",
                ("linear2",),
            )
        )
    return found


def _silenced() -> list[Case]:
    found = []
    for net, layer, value in (
        ("relu-mlp", "linear3", -50.0),
        ("gelu-mlp", "linear2", -50.0),
        ("silu-mlp", "linear1", -100.0),
        ("bn-mlp", "norm2", -50.0),
        ("ln-mlp", "norm4", -50.0),
    ):
        act = layer.replace("linear", "act").replace("norm", "act")
        names = (layer, act, layer.replace("norm", "linear"))
        for share, verdict in ((1.0, DEAD), (0.8, DEAD), (0.6, DEAD), (0.3, HEALTHY), (0.2, HEALTHY)):
            if net in ("silu-mlp", "ln-mlp") and share in (0.8, 0.2):
                continue
            why = f"{share:.0%} of the units sit far on the flat side"
            wanted = names if verdict == DEAD else ()
            found.append(
                Case(
                    f"injected/{net}-{layer}-silent{share:g}",
                    "construction",
                    mlp(net, bias(layer, value, share)),
                    verdict,
                    why,
                    wanted,
                )
            )
    for net, layer, act in (
        ("plain_cnn", "conv2", "relu"),
        ("vgg", "0.7", "0.8"),
        ("resnet", "layer2.0.bn1", "layer2.0.conv1"),
        ("gpt", "h.1.mlp.0", "h.1.mlp.1"),
        ("vit", "blocks.2.mlp.0", "blocks.2.mlp.1"),
        ("mlp_mixer", "blocks.1.mix_channels.0", "blocks.1.mix_channels.1"),
        ("unet", "middle.4", "middle.3"),
    ):
        for share, verdict in ((1.0, DEAD), (0.7, DEAD), (0.25, HEALTHY)):
            why = f"{share:.0%} of the channels sit far on the flat side"
            hit = (layer, act) if verdict == DEAD else ()
            found.append(
                Case(
                    f"injected/{net}-{layer}-silent{share:g}",
                    "construction",
                    broken(net, bias(layer, -100.0, share)),
                    verdict,
                    why,
                    hit,
                )
            )
    found.append(
        Case(
            "injected/relu-mlp-linear3-zero-fill",
            "construction",
            mlp("relu-mlp", fill("linear3", 0.0)),
            DEAD,
            "weights and biases of zero in front of ReLU: slope 0 on everything, so nothing moves them",
            ("linear3", "act3"),
        )
    )
    return found


def cases() -> list[Case]:
    """All of the family."""
    return [*_small(), *_large(), *_nonfinite(), *_silenced(), *injected_paths.cases(), *injected_gates.cases()]
