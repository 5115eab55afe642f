from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from remedy_reports import finding, layer

from gradcheck_cli.remedies import remedies_for
from gradcheck_cli.remedies.cases import case_of
from gradcheck_cli.remedies.interface import RemedyUnit
from gradcheck_cli.remedies.registry import REMEDIES

ILL_CODES = {
    *(f"GC1{i:02}" for i in range(1, 13)),
    *(f"GC2{i:02}" for i in range(1, 15)),
    *(f"GC3{i:02}" for i in range(1, 8)),
}
IDS = {
    "clip-gradients", "residual-connection", "leaky-activation", "replace-sigmoid", "reinitialise", "normalise-layers",
    "weight-decay", "fewer-layers", "smaller-batches", "truncated-bptt", "gated-cell", "learning-rate", "loss-scaling",
    "normalise-input", "reattach", "fix-values", "longer-steps",
}  # fmt: skip
REPORT = (
    layer("in", "Linear", "weight", "bias"),
    layer("a.relu()", "ReLU"),
    layer('we"ird\n\x1b[31m{name}', "Conv2d", "weight"),
    layer("act", "Sigmoid"),
    layer("h.0", "Linear", "weight"),
    layer("act#2", "Sigmoid"),
    layer("h.1", "Linear", "weight"),
    layer("h.2", "Linear", "weight"),
    layer("tanh", "Tanh"),
    layer("norm", "LayerNorm", "weight"),
    layer("lstm", "LSTM", "weight_ih_l0"),
    layer("rnn", "RNN", "weight_ih_l0"),
    layer("cell", "RNNCell", "weight_ih"),
    layer("lora", "LoRALinear", "lora_A"),
    layer("embed", "Embedding", "weight"),
    layer("gelu", "GELU"),
    layer("head", "Linear", "weight"),
    layer("out", "ReLU"),
)
EVIDENCE: list[dict[str, Any]] = [
    {},
    {"cause": "weight-scale", "activation": "Tanh"},
    {"cause": "saturation"},
    {"cause": "cut", "operation": "detach", "where": "block\n.1"},
    {"cause": "cut", "operation": "zero", "zero_weights": ["h.0.weight"]},
    *({"operation": name} for name in ("torch.round", "aten::argmax.default", "log", "no_grad", "frozen", "sqrt_")),
]
NAMES = [*(one.name for one in REPORT), "(model)", "<unregistered>.lin", "unheard-of"]


def test_ids_are_the_known_ones_and_unique() -> None:
    assert Counter(unit.id for unit in REMEDIES) == Counter(IDS)


@pytest.mark.parametrize("unit", REMEDIES, ids=lambda unit: unit.id)
def test_each_is_complete(unit: RemedyUnit) -> None:
    assert unit.title
    assert unit.source
    assert unit.answers
    assert set(unit.answers) <= ILL_CODES | {"GC907"}


@pytest.mark.parametrize("code", sorted(ILL_CODES))
def test_every_code_has_remedies_in_a_clear_order(code: str) -> None:
    assert remedies_for(code)
    places = [unit.answers[code] for unit in REMEDIES if code in unit.answers]
    assert len(set(places)) == len(places)


def test_notes_and_unknown_codes_have_none() -> None:
    assert remedies_for("GC901") == remedies_for("GC999") == ()
    assert remedies_for("GC907") == ("leaky-activation",)


@pytest.mark.parametrize("unit", REMEDIES, ids=lambda unit: unit.id)
def test_all_code_parses_whatever_the_layer(unit: RemedyUnit) -> None:
    asked = 0
    for code, name, evidence in itertools.product(unit.answers, NAMES, EVIDENCE):
        case = case_of(finding(code, name, **evidence), REPORT)
        if not unit.fits(case):
            continue
        how = unit.how if isinstance(unit.how, str) else unit.how([case])
        why = unit.why if isinstance(unit.why, str) else unit.why([case])
        assert ast.parse(how).body, how
        assert "\x1b" not in how
        assert 20 < len(why) < 260
        assert max(map(len, how.splitlines())) <= 140
        asked += 1
    assert asked


def test_importing_imports_no_torch() -> None:
    code = "import sys, gradcheck_cli.remedies; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
