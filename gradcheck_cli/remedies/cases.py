"""From findings to cases: which layers stand around a culprit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gradcheck_cli.records import Finding, LayerReport, Verdict
from gradcheck_cli.remedies.interface import Case
from gradcheck_cli.remedies.kinds import has_weights, is_activation

ABOUT_DEPTH = frozenset({"GC101", "GC201"})
"""Codes of findings that no single layer brings about: all layers of the kind are to be changed."""


def case_of(finding: Finding, report: Sequence[LayerReport]) -> Case:
    """The case of a finding; a layer that the report does not list stands alone."""
    layers = tuple(report)
    place = next((index for index, layer in enumerate(layers) if layer.name == finding.layer), None)
    if place is None:
        lone = LayerReport(name=finding.layer, kind="", parameters=(), verdict=finding.verdict)
        return Case(finding, layers, (lone,), (), first=False, last=False)
    weights, activations = _in_front(layers, place), _behind(layers, place)
    named = finding.evidence.get("activation_layer")
    activations = tuple(layer for layer in layers if layer.name == named) or activations
    if finding.code in ABOUT_DEPTH:
        weights = _alike(layers, weights, spare=_last(layers, has_weights))
        activations = _alike(layers, activations, spare=_last(layers, lambda x: has_weights(x) or is_activation(x)))
    return Case(
        finding,
        layers,
        weights,
        activations,
        first=sum(has_weights(layer) for layer in layers[: place + 1]) <= 1,
        last=_last(layers[place + 1 :], lambda x: has_weights(x) or is_activation(x)) is None,
    )


def _in_front(layers: tuple[LayerReport, ...], place: int) -> tuple[LayerReport, ...]:
    """The layer itself if it owns parameters, else the nearest one before it that has weights."""
    if layers[place].parameters:
        return (layers[place],)
    return tuple([layer for layer in layers[:place] if has_weights(layer)][-1:])


def _behind(layers: tuple[LayerReport, ...], place: int) -> tuple[LayerReport, ...]:
    """The layer itself if it is an activation, else the first one after it, before the next weights."""
    for index, layer in enumerate(layers[place:]):
        if is_activation(layer):
            return (layer,)
        if index and has_weights(layer):
            break
    return ()


def _last(layers: tuple[LayerReport, ...], wanted: Callable[[LayerReport], bool]) -> LayerReport | None:
    return next((layer for layer in reversed(layers) if wanted(layer)), None)


def _alike(
    layers: tuple[LayerReport, ...], one: tuple[LayerReport, ...], spare: LayerReport | None
) -> tuple[LayerReport, ...]:
    """All layers of the same kind but `spare`: the head and the output activation are there for the task."""
    if not one:
        return ()
    alike = (layer for layer in layers if layer.kind == one[0].kind and layer is not spare)
    return tuple(layer for layer in alike if layer.verdict is not Verdict.NOT_MEASURED) or one
