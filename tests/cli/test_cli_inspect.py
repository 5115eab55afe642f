from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import CommandLine
from torch import nn


@pytest.fixture
def gradcheck(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_what_a_state_dict_is_and_how_to_diagnose_it(gradcheck: CommandLine) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"first": nn.Linear(3, 8), "second": nn.Linear(8, 2)})
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, gradcheck.folder / "my weights.pt")
    ran = gradcheck("inspect", "my weights.pt", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    facts = json.loads(ran.stdout)
    assert facts["schema_version"] == 1
    assert facts["format"] == "checkpoint"
    assert facts["found_under"] == "state_dict"
    assert facts["tensors"][0] == {"name": "first.weight", "dtype": "float32", "shape": [8, 3]}
    assert facts["parameters"] == 3 * 8 + 8 + 8 * 2 + 2
    assert not facts["runs_code"]
    assert facts["command"] == "gradcheck diagnose 'my weights.pt' --arch package.module:factory"
    page = gradcheck("inspect", "my weights.pt").stdout
    assert "4 tensors with 50 numbers (4 float32)" in page
    assert facts["command"] in page
    assert not (gradcheck.folder / ".gradcheck").exists()
    # The command that it names works, once the factory's name is put in.
    ran = gradcheck(
        "diagnose", "my weights.pt", "--arch", "habits:Model", "--data", "x.npy", "--json", "--fail-on", "none"
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["model"]["format"] == "checkpoint"
    assert [layer["name"] for layer in report["layers"] if layer["parameters"]] == ["first", "second"]


def test_nothing_in_the_file_runs(gradcheck: CommandLine) -> None:
    (gradcheck.folder / "evil.py").write_text("open('marker', 'w')\nclass Net: pass\n")
    script = "import torch, evil; torch.save({'net': evil.Net()}, 'x.pt')"
    subprocess.run([sys.executable, "-c", script], cwd=gradcheck.folder, check=True)
    (gradcheck.folder / "marker").unlink()
    torch.save({"state_dict": nn.Linear(3, 2).state_dict(), "extra": _Foreign()}, gradcheck.folder / "y.pt")
    ran = gradcheck("inspect", "x.pt")
    assert ran.returncode == 2
    assert "error[unsafe-pickle]" in ran.stderr
    assert "evil.Net" in ran.stderr
    facts = json.loads(gradcheck("inspect", "y.pt", "--json").stdout)
    assert facts["runs_code"]
    assert any(name.endswith("_Foreign") for name in facts["code"])
    assert not (gradcheck.folder / "marker").exists()


class _Foreign:
    """Not torch's."""


def test_errors_are_those_of_the_contract(gradcheck: CommandLine) -> None:
    (gradcheck.folder / "cut.pt").write_bytes(b"PK\x03\x04" + bytes(60))
    ran = gradcheck("inspect", "cut.pt", "--json")
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["format"] == "truncated-zip"
    ran = gradcheck("inspect", "nothing.pt", "--json")
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["error"]["slug"] == "missing-file"
    assert ran.stderr.startswith("gradcheck: error[missing-file]: nothing.pt: ")
    assert gradcheck("inspect").returncode == 2


def test_hostile_names_reach_no_terminal(gradcheck: CommandLine) -> None:
    torch.save({"a\x1b[31m.weight": torch.zeros(2), "b.weight\n": torch.zeros(1)}, gradcheck.folder / "x.pt")
    ran = gradcheck("inspect", "x.pt")
    assert ran.returncode == 0
    assert "\x1b" not in ran.stdout
    assert "a\\x1b[31m" in ran.stdout
    assert "\x1b" not in gradcheck("inspect", "x.pt", "--json").stdout


def test_a_trusted_program_is_measured(gradcheck: CommandLine) -> None:
    torch.manual_seed(0)
    torch.jit.save(
        torch.jit.script(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))), gradcheck.folder / "s.pt"
    )
    ran = gradcheck("diagnose", "s.pt", "--data", "x.npy")
    assert ran.returncode == 2
    assert "error[unsafe-archive]" in ran.stderr
    facts = json.loads(gradcheck("inspect", "s.pt", "--json").stdout)
    assert facts["runs_code"]
    assert facts["command"] == "gradcheck diagnose s.pt --trust"
    ran = gradcheck("diagnose", "s.pt", "--data", "x.npy", "--trust", "--json", "--fail-on", "none")
    assert ran.returncode == 0, ran.stderr
    layers = {layer["name"]: layer["kind"] for layer in json.loads(ran.stdout)["layers"]}
    assert layers == {"0": "Linear", "1": "ReLU", "2": "Linear"}
