"""The recipes for CI, run as a pipeline runs them: the action's scripts, the hook, and the commands in the README."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from command_line import REPOSITORY, CommandLine

MODELS = REPOSITORY / "sample_models"
ACTION: dict[str, Any] = yaml.safe_load((REPOSITORY / "action.yml").read_text(encoding="utf-8"))
(HOOK,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
QUICK = '[tool.gradcheck]\nrehearse = 0\nbatches = 1\ndata = "tests/sample.npz"\n'


class Pipeline:
    """A checked-out project with two models, and a `gradcheck` on the path."""

    def __init__(self, place: Path) -> None:
        line = CommandLine(place)
        self.folder, self.place = line.folder, place
        gradcheck = place / "bin" / "gradcheck"
        gradcheck.write_text(f'#!/bin/sh\nexec {shlex.quote(line.command[0])} -m gradcheck_cli "$@"\n')
        gradcheck.chmod(0o755)
        for folder, file, model in (
            ("checkpoints", "last.pt", "relu_unit.pt"),
            ("checkpoints", "main.pt", "leaky_unit.pt"),
            ("tests", "sample.npz", "relu_unit.npz"),
        ):
            (self.folder / folder).mkdir(exist_ok=True)
            shutil.copy(MODELS / model, self.folder / folder / file)
        (self.folder / "pyproject.toml").write_text(QUICK)
        self.environment = line.environment | {"PATH": f"{gradcheck.parent}{os.pathsep}{os.environ['PATH']}"}
        self.files = {name: place / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        for path in self.files.values():
            path.touch()

    def __call__(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `script` as a step of a job is run."""
        given = self.environment | {name: str(path) for name, path in self.files.items()} | environment
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(command, cwd=self.folder, env=given, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def diagnose(pipeline: Pipeline, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the action's own step with `inputs`, its other inputs at their defaults."""
    (step,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == "diagnose"]
    defaults = {name: given.get("default", "") for name, given in ACTION["inputs"].items()}
    environment = {}
    for variable, expression in step["env"].items():
        name = re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", expression)
        assert name is not None
        environment[variable] = (defaults | inputs)[name[1]]
    return pipeline(step["run"], **environment)


def test_action_annotates_and_writes_reports(pipeline: Pipeline) -> None:
    ran = diagnose(pipeline, model="checkpoints/last.pt", data="tests/sample.npz", arguments="--seed 3")
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.startswith("::error title=gradcheck GC301%3A dead,file=checkpoints/last.pt::")
    assert pipeline.files["GITHUB_OUTPUT"].read_text() == "status=1\n"
    assert pipeline.files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8").startswith("## ✖ gradcheck: dead – ")
    reports = pipeline.folder / "gradcheck-reports"
    assert sorted(path.name for path in reports.iterdir()) == [
        *("gradcheck.html", "gradcheck.json", "gradcheck.md", "gradcheck.sarif", "gradcheck.xml")
    ]
    assert json.loads((reports / "gradcheck.json").read_text())["verdict"] == "dead"


def test_action_against_a_baseline(pipeline: Pipeline) -> None:
    made = pipeline("gradcheck diagnose checkpoints/last.pt --data tests/sample.npz --json --output base.json")
    assert made.returncode == 1
    ran = diagnose(pipeline, model="checkpoints/last.pt", data="tests/sample.npz", baseline="base.json")
    assert ran.returncode == 0, ran.stderr
    assert "::error" not in ran.stdout


def test_pull_request_that_kills_a_layer(pipeline: Pipeline) -> None:
    made = pipeline("gradcheck diagnose checkpoints/main.pt --data tests/sample.npz --json --output base.json")
    assert made.returncode == 0
    ran = diagnose(pipeline, model="checkpoints/last.pt", data="tests/sample.npz", baseline="base.json")
    assert ran.returncode == 1
    error = re.search("^::error title=gradcheck%3A healthy → dead,file=checkpoints/last.pt::(.+?): ", ran.stdout)
    assert error is not None, ran.stdout
    layer = error[1]
    reports = {
        path.suffix: path.read_text(encoding="utf-8") for path in (pipeline.folder / "gradcheck-reports").iterdir()
    }
    found = json.loads(reports[".json"])["baseline"]
    assert layer in [change["layer"] for change in found["worse"]]
    suites = ElementTree.fromstring(reports[".xml"])
    failures = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failures == [
        change["layer"] for change in (*found["worse"], *found["appeared"]) if change["after"] == "dead"
    ]
    states = {result["baselineState"] for result in json.loads(reports[".sarif"])["runs"][0]["results"]}
    assert "new" in states
    assert f"| `{layer}` | healthy → dead |" in reports[".md"]
    assert pipeline.files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8") == reports[".md"]


def test_action_with_a_model_that_is_no_model(pipeline: Pipeline) -> None:
    ran = diagnose(pipeline, model="; touch owned $(touch owned)")
    assert ran.returncode == 2
    assert ran.stdout.startswith("::error title=gradcheck%3A ")
    assert pipeline.files["GITHUB_OUTPUT"].read_text() == "status=2\n"
    assert not (pipeline.folder / "owned").exists()


def test_no_script_of_the_action_has_an_expression_in_it() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
    used = set(re.findall(r"inputs\.(\w+)", json.dumps(ACTION["runs"]) + json.dumps(ACTION["outputs"])))
    assert used == set(ACTION["inputs"])


def test_hook_looks_at_each_model_on_its_own(pipeline: Pipeline) -> None:
    files = ["checkpoints/last.pt", "checkpoints/main.pt"]
    assert all(re.search(HOOK["files"], name) for name in files)
    ran = pipeline(shlex.join([*shlex.split(HOOK["entry"]), *files]))
    assert ran.returncode == 1
    assert ran.stdout.count("DEAD") == 1
    assert "✔ HEALTHY" in ran.stdout
    assert pipeline(shlex.join([*shlex.split(HOOK["entry"]), files[1]])).returncode == 0


def steps(readme: str) -> list[tuple[str, bool]]:
    """Return the commands of the pipelines in a README, in their order, with whether they may fail."""
    found: list[tuple[str, bool]] = []
    for block in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL):
        document = yaml.safe_load(block)
        jobs = (
            document if isinstance(document, list) else [{"run": x} for job in document.values() for x in job["script"]]
        )
        found += [(job["run"], "|| true" in job["run"]) for job in jobs if "run" in job]
    return found


def test_commands_of_the_readme(pipeline: Pipeline) -> None:
    recipes = steps((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert recipes
    for command, forgiven in recipes:
        ran = pipeline(command)
        assert ran.returncode == 0 if forgiven else ran.returncode in (0, 1), (command, ran.stderr)
        assert "error[" not in ran.stderr, (command, ran.stderr)
