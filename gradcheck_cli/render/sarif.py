"""SARIF 2.1.0: every finding a result, every rule with its manual, for code-scanning pages.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0. The names of its fields are the standard's.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gradcheck_cli.records import Diagnosis, Finding, Verdict
from gradcheck_cli.render.by_layer import said
from gradcheck_cli.rules import RULES
from gradcheck_cli.rules.interface import Rule
from gradcheck_cli.text import plain

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(diagnosis: Diagnosis) -> str:
    """Return the log, in pure ASCII: an error a culprit, a warning a victim, a note a note."""
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
        "results": [_result(finding, artifact, rules) for finding in diagnosis.findings],
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


def _rule(rule: Rule) -> dict[str, Any]:
    manual = inspect.cleandoc(rule.__doc__ or "")
    first, _, rest = manual.partition("\n\n")
    note = rule.verdict is Verdict.HEALTHY
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": " ".join(first.split())},
        "fullDescription": {"text": " ".join((rest or first).partition("\n\n")[0].split())},
        "help": {"text": manual, "markdown": _markdown(rule, first, rest)},
        "defaultConfiguration": {"level": "note" if note else "error"},
        "properties": {"tags": ["note" if note else rule.verdict.value], "precision": "high"},
    }


def _markdown(rule: Rule, first: str, rest: str) -> str:
    """Return the manual with the sections' names in bold: each begins a paragraph and ends with a full stop."""
    sections = re.sub(r"(?:\A|(?<=\n\n))(What it measures|Why it matters|Remedy|Source)\.", r"**\1.**", rest)
    return f"# {rule.code} {rule.name}\n\n{first}\n\n{sections}".rstrip() + "\n"


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
