"""SARIF 2.1.0: every finding a result, every rule with its manual, for code-scanning pages.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0. The names of its fields are the standard's.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gradcheck_cli.records import Diagnosis, Finding, Ignored, Verdict
from gradcheck_cli.render.by_layer import because, said
from gradcheck_cli.render.sarif_states import States
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.interface import Rule
from gradcheck_cli.rules.manual import Block, blocks, manual
from gradcheck_cli.text import plain

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(diagnosis: Diagnosis, baseline: Diagnosis | None = None) -> str:
    """Return the log, in pure ASCII: an error a culprit, a warning a victim, a note a note.

    What the user ignores is a suppressed result with its reason. Against a baseline every result says whether it is new.
    """
    rules = {rule.code: place for place, rule in enumerate(RULES)}
    artifact = {"uri": _uri(diagnosis)}
    run = {
        "tool": {
            "driver": {
                "name": "gradcheck",
                "semanticVersion": diagnosis.gradcheck_version,
                "shortDescription": {"text": "Tells whether a saved neural network can learn."},
                "rules": [_rule(rule) for rule in RULES],
            }
        },
        "automationDetails": {"id": f"gradcheck/{artifact['uri']}/"},
        "artifacts": [_artifact(diagnosis, artifact)],
        "invocations": [_invocation(diagnosis)],
        "results": _results(diagnosis, baseline, artifact, rules),
        "columnKind": "unicodeCodePoints",
        "properties": {
            "verdict": diagnosis.verdict.value,
            "summary": plain(diagnosis.summary),
            "sample": plain(diagnosis.sample.source),
            "samples": diagnosis.sample.samples,
        },
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, ensure_ascii=True, allow_nan=False, indent=2) + "\n"


def _results(
    diagnosis: Diagnosis, baseline: Diagnosis | None, artifact: dict[str, str], rules: Mapping[str, int]
) -> list[dict[str, Any]]:
    found: list[tuple[Finding | Ignored, dict[str, Any]]]
    found = [(finding, _result(finding, artifact, rules)) for finding in diagnosis.findings]
    found += [(ignored, _suppressed(ignored, artifact, rules)) for ignored in diagnosis.ignored]
    if baseline is None:
        return [result for _, result in found]
    states = States(baseline, diagnosis)
    told = [result | {"baselineState": states.of(finding)} for finding, result in found]
    gone = [_result(finding, artifact, rules) | {"baselineState": "absent"} for finding in states.absent()]
    return told + gone


def _suppressed(ignored: Ignored, artifact: dict[str, str], rules: Mapping[str, int]) -> dict[str, Any]:
    finding = Finding(
        code=ignored.code,
        layer=ignored.layer,
        verdict=ignored.verdict,
        confidence=1.0,
        culprit=ignored.culprit,
        message=ignored.message,
    )
    suppression = {"kind": "external", "justification": plain(because(ignored))}
    result = _result(finding, artifact, rules) | {"suppressions": [suppression]}
    del result["rank"]  # how sure it would be is not kept
    return result


def _rule(rule: Rule) -> dict[str, Any]:
    first, *rest = blocks(rule)
    full = _paragraph(rest[0]) if rest else first.text
    note = rule.verdict is Verdict.HEALTHY
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": " ".join(first.text.split())},
        "fullDescription": {"text": " ".join(full.split())},
        "help": {"text": manual(rule), "markdown": _markdown(rule)},
        "defaultConfiguration": {"level": "note" if note else "error"},
        "properties": {"tags": ["note" if note else rule.verdict.value], "precision": "high"},
    }


def _markdown(rule: Rule) -> str:
    """Return the manual with the sections' names in bold, and its examples fenced."""
    parts = [f"```python\n{block.text}\n```" if block.code else _paragraph(block, "**") for block in blocks(rule)]
    return "\n\n".join([f"# {rule.code} {rule.name}", *parts]) + "\n"


def _paragraph(block: Block, mark: str = "") -> str:
    return f"{mark}{block.section}.{mark} {block.text}".rstrip() if block.named else block.text


def _artifact(diagnosis: Diagnosis, location: dict[str, str]) -> dict[str, Any]:
    artifact: dict[str, Any] = {"location": location, "roles": ["analysisTarget"]}
    if diagnosis.model.sha256 is not None:
        artifact["hashes"] = {"sha-256": diagnosis.model.sha256}
    return artifact


def _invocation(diagnosis: Diagnosis) -> dict[str, Any]:
    gaps = [
        {"level": "warning", "message": {"text": _text(f"not measured: {gap.what}: {gap.why}")}}
        for gap in diagnosis.not_measured
    ]
    measured = diagnosis.verdict is not Verdict.NOT_MEASURED
    return {"executionSuccessful": measured, "toolExecutionNotifications": gaps}


def _result(finding: Finding, artifact: dict[str, str], rules: Mapping[str, int]) -> dict[str, Any]:
    layer = plain(finding.layer)
    note = finding.verdict is Verdict.HEALTHY
    identity = hashlib.sha256(f"{artifact['uri']}\n{finding.code}\n{layer}".encode()).hexdigest()
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": "note" if note else "error" if finding.culprit else "warning",
        "message": {"text": _text(f"{finding.layer}: {said(finding)}")},
        "locations": [
            {
                # Without a line, code-scanning pages refuse a result; a model file has none but the first.
                "physicalLocation": {"artifactLocation": {**artifact, "index": 0}, "region": {"startLine": 1}},
                "logicalLocations": [{"name": layer.rpartition(".")[2], "fullyQualifiedName": layer, "kind": "module"}],
            }
        ],
        "partialFingerprints": {"layerAndRule/v1": identity, "primaryLocationLineHash": f"{identity[:16]}:1"},
        "rank": round(100 * finding.confidence, 3),
        "properties": {"verdict": finding.verdict.value, "becauseOf": [plain(name) for name in finding.because_of]},
    }
    if finding.code in rules:  # a report of an older version may know a rule that is gone
        result["ruleIndex"] = rules[finding.code]
    return result


def _uri(diagnosis: Diagnosis) -> str:
    """Return the model's place as a URI reference; of an entry point, that of its source file where it names one."""
    path = diagnosis.model.path
    if diagnosis.model.format == "entry-point":
        path = path.rpartition(":")[0] or path
    encoded = quote(posixpath.normpath(path).encode("utf-8", "surrogatepass"), safe="/")
    return f"file://{encoded}" if encoded.startswith("/") else encoded


def _text(text: str) -> str:
    """Return a plain text message: braces are placeholders in SARIF and doubled, ``[a](b)`` would be a link."""
    shown = plain(text).replace("{", "{{").replace("}", "}}")
    return re.sub(r"\[(?=[^\]]*\]\()", r"\\[", shown)
