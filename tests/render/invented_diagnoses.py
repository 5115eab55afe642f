"""Invented diagnoses that look like real ones: what the golden pages and the JSON tests are made from."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

from gradcheck_cli.records import (
    Diagnosis,
    Finding,
    LayerReadings,
    LayerReport,
    ModelFacts,
    NotMeasured,
    Remedy,
    SampleFacts,
    Verdict,
)

LEAKY = Remedy(
    id="leaky-activation",
    title="Use a leaky activation",
    layers=("net.3",),
    why="A slope on the negative side keeps a path open for units that are off, so they can come back.",
    how="model.net[3] = torch.nn.LeakyReLU(0.1)",
    source="Maas 2013; Lu 2019",
)
RELU = Remedy(
    id="relu-for-sigmoid",
    title="Replace sigmoid with ReLU or tanh",
    layers=tuple(f"net.{index}" for index in range(1, 40, 2)),
    why="A sigmoid's slope is at most 1/4, so 20 in series leave at most 1e-12 of the signal.",
    how="for index in range(1, 40, 2):\n    model.net[index] = torch.nn.ReLU()",
    source="Glorot 2010",
)
HE = Remedy(
    id="he-init",
    title="Initialise for the activation",
    layers=("net.0", "net.2"),
    why="He initialisation keeps the squared gradient's gain at 1 per ReLU layer; torch's default gives 0.17.",
    how=(
        "for layer in (model.net[0], model.net[2]):\n"
        '    torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")\n'
        "    torch.nn.init.zeros_(layer.bias)"
    ),
    source="He 2015",
)
SKIP = Remedy(
    id="residual",
    title="Add residual connections",
    layers=("net.0", "net.2"),
    why="A skip lets the signal pass around the layer with gain 1.",
    how="x = x + self.block(x)",
)
CLIP = Remedy(
    id="clip-norm",
    title="Clip gradients by norm",
    layers=("blocks.0",),
    why="Clipping bounds the step and keeps its direction.",
    how="torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)",
    source="Pascanu 2013",
)


def _diagnosis(
    layers: list[LayerReport],
    verdict: Verdict,
    summary: str,
    *,
    model: str = "model.pt",
    sample: SampleFacts | None = None,
    remarks: tuple[str, ...] = (),
    findings: tuple[Finding, ...] = (),
    remedies: tuple[Remedy, ...] = (),
    not_measured: tuple[NotMeasured, ...] = (),
) -> Diagnosis:
    return Diagnosis(
        gradcheck_version="0.1.0",
        model=ModelFacts(path=model, format="torch-module", sha256="ab" * 32, parameters=21_601, remarks=remarks),
        sample=sample or SampleFacts(source="circles.npz", samples=128, loss="bce", loss_value=0.6931),
        verdict=verdict,
        summary=summary,
        culprits=tuple(layer.name for layer in layers if layer.culprit),
        layers=tuple(layers),
        findings=findings,
        remedies=remedies,
        not_measured=not_measured,
    )


def _layer(name: str, kind: str, verdict: Verdict, transmission: float | None = None, **more: object) -> LayerReport:
    readings = {key: more.pop(key) for key in list(more) if key in LayerReadings.__struct_fields__}
    owns = kind in {"Linear", "Conv2d", "BatchNorm2d", "Embedding", "LSTM"}
    return LayerReport(
        name=name,
        kind=kind,
        parameters=(f"{name}.weight", f"{name}.bias") if owns else (),
        verdict=verdict,
        readings=LayerReadings(transmission=transmission, **readings),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def deep_sigmoid() -> Diagnosis:
    """Twenty sigmoid layers at torch's default initialisation: gain 0.14 a layer."""
    layers: list[LayerReport] = []
    for index in range(41):
        transmission = 0.55 * 0.1414 ** ((40 - index) / 2)
        ill = transmission < 1e-5
        layers.append(
            _layer(
                f"net.{index}",
                "Sigmoid" if index % 2 else "Linear",
                Verdict.VANISHING if ill else Verdict.HEALTHY,
                transmission,
                gain=0.249 if index % 2 else 0.567,
                culprit=index == 27,
                findings=("GC101",) if ill else (),
                units=20,
            )
        )
    culprit = Finding(
        code="GC101",
        layer="net.27",
        verdict=Verdict.VANISHING,
        confidence=0.97,
        culprit=True,
        message="The backward signal shrinks by 0.14 a layer over 20 sigmoid layers, from 0.55 to 5.7e-18.",
        evidence={"gain": 0.1414, "layers": 20},
        remedies=("relu-for-sigmoid", "he-init", "residual"),
    )
    victims = tuple(
        Finding(
            code="GC101",
            layer=f"net.{index}",
            verdict=Verdict.VANISHING,
            confidence=0.97,
            culprit=False,
            message="What arrives is too small to learn from.",
            because_of=("net.27",),
        )
        for index in range(27)
    )
    return _diagnosis(
        layers,
        Verdict.VANISHING,
        "The learning signal fades over 20 sigmoid layers: before net.27 too little arrives to learn from.",
        model="sample_models/deep_sigmoid.pt",
        findings=(culprit, *victims),
        remedies=(RELU, HE, SKIP, CLIP),
    )


def exploding() -> Diagnosis:
    """Ten layers with weights five times too large, gain 5 each; the first overflow the track."""
    layers = [
        _layer(
            f"blocks.{index}",
            "Linear",
            Verdict.EXPLODING if index < 7 else Verdict.HEALTHY,
            inf if index == 0 else 5.0 ** (11 - index) if index else nan,
            gain=5.02,
            culprit=index == 6,
            findings=("GC201",) if index < 7 else (),
            weight_norm=321.0,
        )
        for index in range(12)
    ]
    findings = (
        Finding(
            code="GC201",
            layer="blocks.6",
            verdict=Verdict.EXPLODING,
            confidence=0.9,
            culprit=True,
            message="The backward signal grows fivefold a layer and overflows float32 at blocks.0.",
            evidence={"gain": 5.02, "largest": inf},
            remedies=("he-init", "clip-norm"),
        ),
        Finding(
            code="GC201",
            layer="blocks.5",
            verdict=Verdict.EXPLODING,
            confidence=0.9,
            culprit=False,
            message="Receives what blocks.6 has blown up.",
            because_of=("blocks.6",),
        ),
    )
    return _diagnosis(
        layers,
        Verdict.EXPLODING,
        "The backward signal grows fivefold a layer from blocks.6 towards the input and overflows at blocks.0.",
        findings=findings,
        remedies=(HE, CLIP),
    )


def dead_relu() -> Diagnosis:
    """One ReLU whose units never fire, one that is partly dead, a frozen layer, and a time-series layer."""
    layers = [
        _layer("net.0", "Linear", Verdict.DEAD, 0.0, gain=0.0, findings=("GC302",)),
        _layer("net.1", "ReLU", Verdict.DEAD, 0.0, dead_units=0.1875, units=64, findings=("GC302",)),
        _layer("net.2", "Linear", Verdict.DEAD, 0.0, gain=0.0, findings=("GC302",)),
        _layer("net.3", "ReLU", Verdict.DEAD, 0.31, dead_units=1.0, units=64, culprit=True, findings=("GC301",)),
        _layer("net.4", "LSTM", Verdict.HEALTHY, 0.42, gain=0.7, time_gain=0.93, notes=("frozen", "tied")),
        _layer("net.5", "ReLU", Verdict.HEALTHY, 0.8, dead_units=0.1875, units=64, notes=("partly-dead",)),
        _layer("net.6", "Tanh", Verdict.HEALTHY, 0.8, gain=0.6, saturated=0.12),
        _layer("net.7", "Linear", Verdict.HEALTHY, 1.4, gain=0.58, notes=("converged",), findings=("GC903",)),
    ]
    findings = (
        Finding(
            code="GC301",
            layer="net.3",
            verdict=Verdict.DEAD,
            confidence=0.99,
            culprit=True,
            message="64 of 64 units never fire on 128 samples; each may still fire on up to 2.3 % of inputs.",
            evidence={"dead": 64, "units": 64, "seen": 128},
            remedies=("leaky-activation",),
        ),
        *(
            Finding(
                code="GC302",
                layer=name,
                verdict=Verdict.DEAD,
                confidence=0.99,
                culprit=False,
                message="No path leads here from the output but through net.3.",
                because_of=("net.3",),
            )
            for name in ("net.0", "net.1", "net.2")
        ),
        *(
            Finding(
                code="GC903",
                layer=name,
                verdict=Verdict.HEALTHY,
                confidence=0.8,
                culprit=False,
                message="The loss gradient is tiny (3e-9) while the transmission is fine: the layer has converged.",
            )
            for name in ("net.7",)
        ),
    )
    return _diagnosis(
        layers,
        Verdict.DEAD,
        "net.3 is dead: none of its 64 units ever fires, so nothing before it can learn.",
        sample=SampleFacts(source="synthetic", samples=128, loss="none"),
        findings=findings,
        remedies=(LEAKY,),
        remarks=("Batch norm was folded into the convolutions when the file was exported.",),
    )


def healthy_residual() -> Diagnosis:
    """Sixty layers of a residual network, all well; a frozen stem."""
    layers = []
    for index in range(60):
        kind = ("Conv2d", "BatchNorm2d", "ReLU")[index % 3]
        frozen = index < 6
        layers.append(
            _layer(
                f"layer{index // 15 + 1}.{index // 6 % 3}.{('conv', 'bn', 'relu')[index % 3]}{index % 2 + 1}",
                kind,
                Verdict.HEALTHY,
                0.3 + 0.015 * index,
                gain=0.98,
                dead_units=0.0 if kind == "ReLU" else None,
                notes=("frozen",) if frozen else (),
                findings=("GC901",) if frozen else (),
            )
        )
    notes = tuple(
        Finding(
            code="GC901",
            layer=layer.name,
            verdict=Verdict.HEALTHY,
            confidence=1.0,
            culprit=False,
            message="Its parameters are frozen (requires_grad is False).",
        )
        for layer in layers[:6]
    )
    return _diagnosis(
        layers,
        Verdict.HEALTHY,
        "All 60 layers get a signal that they can learn from.",
        sample=SampleFacts(source="digits.npz", samples=128, loss="cross-entropy", loss_value=2.31, mode="eval"),
        findings=notes,
    )


def one_ill_in_sixty() -> Diagnosis:
    """The residual network with one layer cut off in its middle: folds around the ill row."""
    whole = healthy_residual()
    name = "encoder.layers.11.attention.self.query_projection"
    layers = list(whole.layers)
    layers[30] = _layer(name, "Linear", Verdict.DEAD, 0.0, culprit=True, findings=("GC302",))
    finding = Finding(
        code="GC302",
        layer=name,
        verdict=Verdict.DEAD,
        confidence=1.0,
        culprit=True,
        message="No path from the output reaches it: its result goes through detach.",
    )
    cut = NotMeasured(what="through time", why="the model has no recurrent layer")
    return _diagnosis(
        layers,
        Verdict.DEAD,
        f"{name} is cut off: no path from the output reaches it.",
        findings=(finding, *whole.findings),
        not_measured=(cut,),
    )


def not_measured() -> Diagnosis:
    """Nothing could be measured in half of the layers: none of it may read as healthy."""
    layers = [
        _layer(f"experts.{index}", "Linear", Verdict.NOT_MEASURED)
        if index % 2
        else _layer(f"experts.{index}", "Linear", Verdict.HEALTHY, 0.2)
        for index in range(6)
    ]
    return _diagnosis(
        layers,
        Verdict.NOT_MEASURED,
        "Too little was measured for a verdict.",
        sample=SampleFacts(source="synthetic", samples=1, loss="model", loss_value=nan, remarks=("Made up.",)),
        not_measured=(
            *(NotMeasured(what=f"experts.{index}", why="no token of this sample reached it") for index in (1, 3, 5)),
            *(NotMeasured(what=f"reading {index}", why="it needs a learning rate; give --lr") for index in range(8)),
            *(NotMeasured(what=f"thing {index}", why=f"of a reason of its own, number {index}") for index in range(6)),
        ),
    )


HOSTILE_NAMES = (
    "[bold red]markup[/]",
    "[/]",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "line\nbreak\r\ttab",
    "right\u202eto\u2066left",
    "nul\x00\x7f\x9b",
    "surrogate\udcff",
    "漢字の層." * 12,
    "e\u0301" * 30,
    ":smile: <script>alert(1)</script>",
    "a" * 400,
    "",
)


def hostile() -> Diagnosis:
    """Every text that comes from a file or a model is an attack on the terminal."""
    layers = [
        _layer(name, name, Verdict.DEAD if index == 0 else Verdict.HEALTHY, 0.1, culprit=index == 0, notes=(name,))
        for index, name in enumerate(HOSTILE_NAMES)
    ]
    findings = tuple(
        Finding(
            code="GC301", layer=name, verdict=Verdict.DEAD, confidence=0.5, culprit=True, message=f"{name} never fires."
        )
        for name in HOSTILE_NAMES
    )
    attack = "".join(HOSTILE_NAMES[:7])
    return _diagnosis(
        layers,
        Verdict.DEAD,
        f"{HOSTILE_NAMES[0]} {HOSTILE_NAMES[2]} is dead.",
        model=attack,
        sample=SampleFacts(source=attack, samples=1, loss=attack, loss_value=-inf, mode=attack, remarks=(attack,)),
        findings=findings,
        remedies=(
            Remedy(
                id=attack, title=attack, layers=HOSTILE_NAMES, why=attack, how=f"x = (\n\t{attack}\n)", source=attack
            ),
        ),
        not_measured=(NotMeasured(what=attack, why=attack),),
        remarks=(attack,),
    )


def no_layers() -> Diagnosis:
    """A model without any layer."""
    return _diagnosis([], Verdict.NOT_MEASURED, "The model has no layers to measure.")


def thousand_layers() -> Diagnosis:
    """A thousand layers of which every other one is dead: the page stays short."""
    layers = [
        _layer(
            f"stack.{index}",
            "ReLU" if index % 2 else "Linear",
            Verdict.DEAD if index % 2 else Verdict.HEALTHY,
            0.999**index,
            culprit=index % 2 == 1,
            findings=("GC301",) if index % 2 else (),
            **({"dead_units": 0.75, "units": 1024} if index % 2 else {}),
        )
        for index in range(1000)
    ]
    findings = tuple(
        Finding(
            code="GC301",
            layer=layer.name,
            verdict=Verdict.DEAD,
            confidence=0.9,
            culprit=True,
            message="768 of 1024 units never fire on 128 samples.",
        )
        for layer in layers
        if layer.culprit
    )
    return _diagnosis(
        layers, Verdict.DEAD, "500 layers are dead; the first is stack.1.", findings=findings, remedies=(LEAKY,)
    )


INVENTED: dict[str, Callable[[], Diagnosis]] = {
    maker.__name__: maker
    for maker in (
        deep_sigmoid,
        exploding,
        dead_relu,
        healthy_residual,
        one_ill_in_sixty,
        not_measured,
        hostile,
        no_layers,
        thousand_layers,
    )
}
