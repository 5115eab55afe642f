"""Every broken and hostile file is refused in one line, and nothing in it runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostile import checks, corpus
from hostile.corpus import FAMILIES, Built
from hostile.findings import FINDINGS
from hostile.warm import Result, Server

MODULES = {module.__name__.rpartition(".")[2]: module for module in FAMILIES}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_all_are_refused_and_nothing_runs(name: str, server: Server, tmp_path: Path) -> None:
    """In the fork that is the command line and its worker at once, where a map beyond the limit fails."""
    built = corpus.build(tmp_path, corpus.cases_of(MODULES[name]))
    before = {item.case.label: checks.contents(item.folder) for item in built}
    alone = [item for item in built if item.case.changes or item.case.own_worker]
    together = [item for item in built if item not in alone]
    results = zip(together, server.run_inside(list(map(checks.diagnose, together))), strict=True)
    answers = [*results, *zip(alone, server.run(list(map(checks.diagnose, alone))), strict=True)]
    found = {item.case.label: checks.faults(item, result, before[item.case.label]) for item, result in answers}
    assert {label: faults for label, faults in found.items() if faults} == {}


NOT_INSPECTED = (*("places-data", "safetensors-data", "data-names"), "places/sparse")
"""Of data, `inspect` sees the honest model alone; and it reads 5 GB to tell the checksum of a file."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in MODULES if name not in ("data", "changing")])
def test_inspect_tells_or_refuses_and_nothing_runs(name: str, server: Server, tmp_path: Path) -> None:
    cases = [
        case
        for case in corpus.cases_of(MODULES[name])
        if not case.own_worker and not case.label.startswith(NOT_INSPECTED)
    ]
    built = corpus.build(tmp_path, cases)
    before = [checks.contents(item.folder) for item in built]
    results = server.run_inside(list(map(checks.inspect, built)))
    answers = zip(built, results, before, strict=True)
    found = {item.case.label: checks.faults_of_inspect(item, result, was) for item, result, was in answers}
    assert {label: faults for label, faults in found.items() if faults} == {}


WITH_A_WORKER = (
    *("pickle-bombs/module-", "pickle-bombs/checkpoint-", "zip-bombs/", "archives-data/bomb", "arrays/huge"),
    *("pickles-data/million", "tables/many", "safetensors/nested", "safetensors-data/containers", "images/pixels"),
)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_its_own_takes_no_more_memory(server: Server, tmp_path: Path) -> None:
    """The real limits of the worker, and the memory that it really had, for the files that are made to take much."""
    built = corpus.build(tmp_path, [case for case in corpus.all_cases() if case.label.startswith(WITH_A_WORKER)])
    before = [checks.contents(item.folder) for item in built]
    results = server.run(list(map(checks.diagnose, built)))
    assert max(result.grown for result in results) > 1 << 20, "memory is not measured"
    answers = zip(built, results, before, strict=True)
    found = {item.case.label: checks.faults(item, result, was) for item, result, was in answers}
    assert {label: faults for label, faults in found.items() if faults} == {}


END_TO_END = (
    *("pickle-calls/root-call", "pt2-doors/expression", "pt2-doors/opaque-constant", "safetensors/overlap"),
    *("zip-bombs/storage", "pickle-bombs/module-shared-60-fold-as-key", "places/fifo-x.pt", "arrays/huge.npy"),
    *("changing/x.safetensors-cut", "indexes/outside-'../a.safetensors'", "names-of-nothing/'\\x1b[31m'"),
    *("truncated/module.pt-40", "class-names/colour", "directories/remote-code"),
)


@pytest.fixture(scope="module")
def end_to_end(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    cases = [case for case in corpus.all_cases() if case.label in END_TO_END]
    return {built.case.label: built for built in corpus.build(tmp_path_factory.mktemp("end-to-end"), cases)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", END_TO_END)
def test_the_command_line_itself(label: str, end_to_end: dict[str, Built]) -> None:
    built = end_to_end[label]
    before = checks.contents(built.folder)
    job = checks.diagnose(built)
    ran = subprocess.run(
        [sys.executable, "-m", "gradcheck_cli", *job.arguments],
        cwd=job.folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    result = Result(ran.returncode, ran.stdout, ran.stderr)
    assert checks.faults(built, result, before) == []


@pytest.mark.filterwarnings("ignore")
def test_there_are_many_and_no_two_alike(tmp_path: Path) -> None:
    built = [item for item in corpus.build(tmp_path, corpus.all_cases()) if not item.case.loadable]
    assert len({_digest(item) for item in built}) >= 1100
    assert len({item.case.family for item in built}) >= 30


def _digest(built: Built) -> str:
    """Of all that the command line is given; equal for two cases that are the same file under the same name."""
    digest = hashlib.sha256(repr(built.arguments).encode())
    for path in sorted(built.folder.rglob("*")):
        kind = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() and kind.st_size < 1 << 27 else b""
        target = os.readlink(path) if path.is_symlink() else ""  # noqa: PTH115 - as it is written
        told = (str(path.relative_to(built.folder)), kind.st_mode, target, hashlib.sha256(content).hexdigest())
        digest.update(repr(told).encode())
    return digest.hexdigest()


@pytest.mark.filterwarnings("ignore")
def test_every_finding_has_a_case() -> None:
    labels = {case.label for case in corpus.all_cases()}
    for finding, wanted in FINDINGS.items():
        assert wanted, finding
        assert set(wanted) <= labels, (finding, set(wanted) - labels)
