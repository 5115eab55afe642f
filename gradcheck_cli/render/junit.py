"""JUnit XML: the model is a test suite, each layer a test case; in ASCII, valid against Jenkins' junit-10.xsd.

Source of the schema: the xUnit plugin of Jenkins, https://github.com/jenkinsci/xunit-plugin (junit-10.xsd).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from gradcheck_cli.compare import ILL, compare
from gradcheck_cli.records import Diagnosis, Finding, Ignored, LayerReport, Verdict
from gradcheck_cli.render.by_layer import WELL, because, findings_of, ignored_of, reason, said
from gradcheck_cli.render.comparison_words import step
from gradcheck_cli.text import plain

KNOWN = "known: in the baseline"
"""What is said of a layer that was ill before."""


def render(diagnosis: Diagnosis, baseline: Diagnosis | None = None) -> str:
    """Return the suite: ill layers fail, layers that were not measured are skipped; it gives no times.

    Against a baseline only what got worse fails; what was ill before is skipped, and so is a layer of which all that is
    ill is ignored.
    """
    suites = ElementTree.Element("testsuites", name="gradcheck")
    suite = ElementTree.SubElement(suites, "testsuite", name=plain(diagnosis.model.path))
    _add_properties(suite, diagnosis)
    found, ignored = findings_of(diagnosis), ignored_of(diagnosis)
    steps = _steps(diagnosis, baseline)
    cases = [_case(layer, found.get(layer.name, []), diagnosis, steps) for layer in diagnosis.layers]
    for case, layer in zip(cases, diagnosis.layers, strict=True):
        _add_ignored(case, ignored.get(layer.name, []))
    if diagnosis.verdict is Verdict.NOT_MEASURED and not cases:
        cases = [_nothing(diagnosis)]  # a suite without a case would pass for one without a fault
    suite.extend(cases)
    counts = {"tests": str(len(cases)), "failures": _count(cases, "failure"), "errors": "0"}
    for attribute, number in counts.items():
        suites.set(attribute, number)
        suite.set(attribute, number)
    suite.set("skipped", _count(cases, "skipped"))
    if diagnosis.not_measured:
        told = [f"not measured: {plain(gap.what)}: {plain(gap.why)}" for gap in diagnosis.not_measured]
        ElementTree.SubElement(suite, "system-out").text = "\n".join(told)
    ElementTree.indent(suites)
    # In ASCII every terminal and pipe takes it; XML's own references stand for the other characters.
    body = ElementTree.tostring(suites, encoding="us-ascii", xml_declaration=False).decode("ascii")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_properties(suite: ElementTree.Element, diagnosis: Diagnosis) -> None:
    facts = {
        "gradcheck.version": diagnosis.gradcheck_version,
        "gradcheck.verdict": diagnosis.verdict.value,
        "gradcheck.summary": diagnosis.summary,
        "model.format": diagnosis.model.format,
        "model.sha256": diagnosis.model.sha256 or "",
        "model.parameters": str(diagnosis.model.parameters),
        "sample.source": diagnosis.sample.source,
        "sample.samples": str(diagnosis.sample.samples),
        "sample.loss": diagnosis.sample.loss,
    }
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=plain(value))


def _steps(diagnosis: Diagnosis, baseline: Diagnosis | None) -> Mapping[str, str] | None:
    """Return the layers that fail → how they got worse; None without a baseline, where every ill layer fails."""
    if baseline is None:
        return None
    return {change.layer: step(change) for change in compare(baseline, diagnosis).failing(frozenset(ILL))}


def _case(
    layer: LayerReport, findings: Sequence[Finding], diagnosis: Diagnosis, steps: Mapping[str, str] | None
) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=plain(diagnosis.model.path), name=plain(layer.name))
    worse = steps is not None and layer.name in steps
    if layer.verdict is Verdict.NOT_MEASURED and not worse:
        ElementTree.SubElement(case, "skipped", message=f"not measured: {plain(_gap(layer, diagnosis))}")
    elif layer.verdict not in WELL and steps is not None and not worse:
        ElementTree.SubElement(case, "skipped", message=f"{KNOWN}: {plain(reason(layer, findings))}")
    elif layer.verdict not in WELL or worse:
        told = plain(reason(layer, findings))
        message = f"culprit: {told}" if layer.culprit else told
        if steps is not None:
            message = f"{steps[layer.name]}: {message}"
        failure = ElementTree.SubElement(case, "failure", type=layer.verdict.value, message=message)
        failure.text = "\n".join(plain(line) for line in _lines(layer, findings, diagnosis))
    return case


def _add_ignored(case: ElementTree.Element, ignored: Sequence[Ignored]) -> None:
    """Tell an illness that is ignored where it would have failed; beside other words on the layer, as output."""
    told = [plain(f"ignored: {each.code}: {because(each)}") for each in ignored if each.verdict not in WELL]
    if told and not len(case):
        ElementTree.SubElement(case, "skipped", message="; ".join(told))
    elif told:
        ElementTree.SubElement(case, "system-out").text = "\n".join(told)


def _lines(layer: LayerReport, findings: Sequence[Finding], diagnosis: Diagnosis) -> list[str]:
    """Return the text below a failure: what is wrong, each finding, and what to do."""
    wanted = dict.fromkeys(id_ for finding in findings for id_ in finding.remedies)
    titles = {remedy.id: remedy.title for remedy in diagnosis.remedies}
    return [
        f"{layer.name} ({layer.kind}) is {layer.verdict.value}: it {layer.verdict.meaning}.",
        *(f"{finding.code}: {said(finding)}" for finding in findings),
        *(f"Remedy: {titles[id_]}" for id_ in wanted if id_ in titles),
    ]


def _gap(layer: LayerReport, diagnosis: Diagnosis) -> str:
    return next((gap.why for gap in diagnosis.not_measured if gap.what == layer.name), layer.verdict.meaning)


def _nothing(diagnosis: Diagnosis) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=plain(diagnosis.model.path), name="(the whole model)")
    ElementTree.SubElement(case, "skipped", message=f"not measured: {plain(diagnosis.summary)}")
    return case


def _count(cases: Sequence[ElementTree.Element], tag: str) -> str:
    return str(sum(case.find(tag) is not None for case in cases))
