"""The worst files through the real command line: its exit status, one line on stderr, nothing on stdout, no file left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile_bombs
import hostile_bytes
import hostile_external
import hostile_graphs
import hostile_tensors
import pytest
from hostile_case import CASES, honest, saved

assert {each.__name__ for each in (hostile_bombs, hostile_bytes, hostile_external, hostile_graphs, hostile_tensors)}
REPOSITORY = Path(__file__).resolve().parents[2]
REFUSED = {
    **{"a-pipe": "not-a-regular-file", "a-device": "not-a-regular-file", "a-folder": "not-a-regular-file"},
    **{"an-ort-file": "unsupported-format", "zipped": "not-a-model"},
    **{"external-data-linked-from-the-system": "unsafe-path", "external-data-in-a-pipe": "damaged-file"},
    **{"functions-that-double": "damaged-file", "several-unknown-operators": "unsupported-operator"},
    **{"huge-dimensions": "damaged-file"},
}
FAILED = {"a-loop-without-end": "forward-failed", "a-tile-of-2-40": "memory-limit"}
Ran = subprocess.CompletedProcess[str]


def _gradcheck(*arguments: str | Path, folder: Path) -> Ran:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    command = [sys.executable, "-c", "from gradcheck_cli.__main__ import main; main()", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Every file once: as JSON, under a memory limit."""

    def diagnose(name: str) -> Ran:
        folder = tmp_path_factory.mktemp("hostile")
        path = CASES[name].write(folder)
        return _gradcheck("diagnose", path, "--json", "--memory-limit", "1G", folder=folder)

    names = [*REFUSED, *FAILED]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(names, pool.map(diagnose, names), strict=True))


@pytest.mark.parametrize("name", [*REFUSED, *FAILED])
def test_one_sentence_and_a_status(name: str, ran: dict[str, Ran]) -> None:
    result = ran[name]
    error = json.loads(result.stdout)["error"]
    slug = REFUSED.get(name) or FAILED[name]
    assert (error["slug"], result.returncode) == (slug, 2 if name in REFUSED else 3)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"gradcheck: error[{slug}]: ")
    assert "Traceback" not in line
    assert line.isprintable()


def test_inspect_shows_what_the_file_is(tmp_path: Path) -> None:
    path = saved(honest(), tmp_path)
    result = _gradcheck("inspect", "model.onnx", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line[:11].strip(): line[12:] for line in result.stdout.splitlines()[1:]}
    assert result.stdout.startswith("model.onnx: this is an ONNX model\n")
    assert rows["versions"] == "IR 10, ai.onnx 18"
    assert rows["operators"] == "2 × Gemm, 1 × Relu"
    assert rows["inputs"] == "x float32 [N, 4]"
    assert rows["holds"] == "4 tensors with 67 numbers (4 float32)"
    assert rows["code"] == "nothing in it would run"
    assert rows["diagnose"] == "gradcheck diagnose model.onnx"
    # And that command works.
    result = _gradcheck(*rows["diagnose"].split()[1:], "--fail-on", "none", "--json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert [layer["name"] for layer in report["layers"] if layer["parameters"]] == ["first", "second"]
    assert len([remark for remark in report["model"]["remarks"] if "inference format" in remark]) == 1
    assert path.exists()
