"""Writes ``gradcheck_cli/onnx_ops/OPERATORS.md``: which operators, in which versions, shown by what. Run by ``make operators``.

Its figures are not measured here: they count the node tests less the exceptions, and `test_backend_nodes.py` proves that every
other one passes.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import onnx
from backend_cases import Case, all_cases, floating_cases
from backend_exceptions import CONSTANT, FORWARD, WITHOUT_GRADIENT
from onnx import defs
from runtime_cases import RuntimeCase
from runtime_cases_float import CASES as FLOATS
from runtime_cases_quantised import CASES as QUANTISED

from gradcheck_cli.onnx_ops import table
from gradcheck_cli.onnx_ops.registry import FUSED, MACHINE_LEARNING, MICROSOFT

DOCUMENT = Path(__file__).parents[2] / "gradcheck_cli" / "onnx_ops" / "OPERATORS.md"
TITLES = {"": "ai.onnx, the standard operators", MICROSOFT: "com.microsoft, those of ONNX Runtime"}
Name = tuple[str, str]
"""(domain, operator)."""
_ML = MACHINE_LEARNING
TESTS: dict[Name, str] = {
    **{("", f"Random{name}"): "test_random_values.py" for name in ("Normal", "NormalLike", "Uniform", "UniformLike")},
    **{
        ("", f"Sequence{name}"): "test_sequences.py"
        for name in ("At", "Construct", "Empty", "Erase", "Length", "Insert")
    },
    ("", "ConcatFromSequence"): "test_sequences.py",
    ("", "Optional"): "test_sequences.py",
    ("", "If"): "test_control_flow.py",
    ("", "Multinomial"): "test_random_values.py",
    ("", "QLinearMatMul"): "test_quantised.py",
    **{
        (_ML, name): "test_ml_features.py"
        for name in ("ArrayFeatureExtractor", "CastMap", "CategoryMapper", "DictVectorizer")
    },
    **{(_ML, name): "test_ml_features.py" for name in ("LabelEncoder", "OneHotEncoder", "ZipMap")},
    **{(_ML, f"TreeEnsemble{name}"): "test_ml_trees.py" for name in ("Classifier", "Regressor")},
}
"""Operators whose tests are neither node tests nor cases of ONNX Runtime: where they are."""
_DRAWN, _MADE = "drawn: no gradient goes through a draw", "made of numbers of the file: a constant"
OTHERWISE: dict[Name, str] = {
    **{("", f"Random{name}"): _DRAWN for name in ("Normal", "NormalLike", "Uniform", "UniformLike")},
    **{
        ("", name): _MADE
        for name in ("BlackmanWindow", "HammingWindow", "HannWindow", "Constant", "ConstantOfShape", "EyeLike")
    },
    ("", "BitCast"): "gives the bits of its input: none",
    ("", "SequenceEmpty"): "gives no values",
    ("", "TfIdfVectorizer"): "counts: none",
    **{(_ML, name): "looks up: none" for name in ("LabelEncoder", "OneHotEncoder")},
}
"""Why there is no gradient to compare, of operators that have no floating node test."""


def document() -> str:
    """The whole text."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    plain = list(floating_cases(expanded=False))
    compared = [case for case in plain if case.operator not in WITHOUT_GRADIENT and case.name not in CONSTANT]
    yield "# ONNX operators"
    yield ""
    yield "<!-- written by `make operators`; checked by tests/onnx_ops/test_operators_document.py -->"
    yield ""
    yield (
        f"What is run as differentiable torch code, by onnx {onnx.__version__} (opset {defs.onnx_opset_version()}, "
        f"ai.onnx.ml {max(s.since_version for s in defs.get_all_schemas() if s.domain == MACHINE_LEARNING)}). "
        f"Of its {len(all_cases())} backend node tests {len(all_cases()) - len(FORWARD)} pass; of the {len(plain)} with floating "
        f"inputs and outputs (functions of the standard counted once) "
        f"{len(plain) - len(FORWARD.keys() & {case.name for case in plain})}, and in {len(compared)} of these the gradients are "
        "those of finite differences in float64."
    )
    yield ""
    yield "- **Versions**: the since-versions of the standard, each run against ONNX Runtime where that runs it."
    yield "- **Forward**: backend node tests that pass, of all; with a plus, cases of our own, compared with ONNX Runtime."
    yield "- **Gradient**: cases in which it is that of finite differences (`torch.autograd.gradcheck`), or why there is none."
    for domain in sorted({entry.domain for entry in table()} - {FUSED}):
        yield ""
        yield f"## {TITLES.get(domain, domain)}"
        yield ""
        yield "| Operator | Versions | Forward | Gradient |"
        yield "|---|---|---|---|"
        for name in sorted({entry.name for entry in table() if entry.domain == domain}):
            yield f"| {name} | {_versions((domain, name))} | {_forward((domain, name))} | {_gradient((domain, name))} |"
    yield ""
    yield (
        "Not there: "
        + "; ".join(f"{name} ({_titled(domain)} {', '.join(map(str, v))})" for (domain, name), v in _missing())
        + "."
    )
    yield ""
    own = ", ".join(entry.name for entry in table() if entry.domain == FUSED)
    yield f"Beside these there are operators of our own, each for several nodes of a file: {own}."
    yield ""
    yield "## Exceptions"
    yield ""
    yield from _reasons(FORWARD)


def _reasons(reasons: dict[str, str]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    last = ""
    for name, reason in reasons.items():
        last = last if reason == "the same" else reason
        by_reason[last].append(name)
    for reason, names in by_reason.items():
        yield f"- {', '.join(f'`{name}`' for name in names)}: {reason}."


def _titled(domain: str) -> str:
    return domain or "ai.onnx"


@functools.cache
def _standard() -> dict[Name, list[int]]:
    found: dict[Name, list[int]] = defaultdict(list)
    for schema in defs.get_all_schemas_with_history():
        found[(schema.domain, schema.name)].append(schema.since_version)
    return {name: sorted(versions) for name, versions in found.items()}


def _missing() -> list[tuple[Name, list[int]]]:
    """Versions of the standard that the table does not find."""
    found = (
        (name, [v for v in versions if table().find(*name, v) is None])
        for name, versions in sorted(_standard().items())
    )
    return [(name, versions) for name, versions in found if versions]


def _versions(name: Name) -> str:
    known = _standard().get(name)
    covered = [version for version in known if table().find(*name, version)] if known else [1]
    return ", ".join(map(str, covered))


@functools.cache
def _cases() -> dict[Name, list[Case]]:
    found: dict[Name, list[Case]] = defaultdict(list)
    for case in all_cases():
        if not case.expanded:
            found[case.operator].append(case)
    return found


@functools.cache
def _floating() -> frozenset[str]:
    return frozenset(case.name for case in floating_cases(expanded=False))


@functools.cache
def _own_cases() -> dict[Name, list[RuntimeCase]]:
    found: dict[Name, list[RuntimeCase]] = defaultdict(list)
    for case in [*FLOATS, *QUANTISED]:
        found[(case.domain, case.operator)].append(case)
    return found


def _forward(name: Name) -> str:
    cases, own = _cases().get(name, []), _own_cases().get(name, [])
    passed = sum(case.name not in FORWARD for case in cases)
    parts = [f"{passed} of {len(cases)}"] * bool(cases) + [f"+{len(own)}"] * bool(own)
    return " ".join(parts) or f"see {TESTS[name]}"


def _gradient(name: Name) -> str:
    if name in WITHOUT_GRADIENT:
        return WITHOUT_GRADIENT[name]
    compared = sum(case.name in _floating() and case.name not in CONSTANT for case in _cases().get(name, []))
    own = sum(case.gradient for case in _own_cases().get(name, []))
    if compared or own:
        return " ".join([f"{compared} compared"] * bool(compared) + [f"+{own}"] * bool(own))
    if name in OTHERWISE:
        return OTHERWISE[name]
    if name in _standard() and not _gives_floats(name):
        return "gives no floats"
    return "straight-through where it rounds, see test_quantised.py" if _own_cases().get(name) else f"see {TESTS[name]}"


def _gives_floats(name: Name) -> bool:
    schema = defs.get_schema(name[1], max(_standard()[name]), name[0])
    kinds = {kind for output in schema.outputs for kind in output.types}
    return any(word in kind for kind in kinds for word in ("float", "double"))


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
