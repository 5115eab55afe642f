"""A command line to run as a user does, in a folder with models of every bad habit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy

from gradcheck_cli.records import (
    Diagnosis,
    Finding,
    LayerReadings,
    LayerReport,
    ModelFacts,
    SampleFacts,
    Verdict,
)

REPOSITORY = Path(__file__).resolve().parents[2]

HABITS = '''
import os, pathlib, signal, subprocess, sys, time
import torch
from torch import nn

torch.set_num_threads(1)

class Model(nn.Module):
    """Healthy, but for what `habit` does in forward."""
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(3, 8), nn.Linear(8, 2)
    def forward(self, x):
        self.habit()
        return self.second(torch.relu(self.first(x)))
    def habit(self):
        pass

class Prints(Model):
    def habit(self):
        print('{"schema_version": 1, "verdict": "a lie"}')
        os.write(1, b"straight to the descriptor\\n")
        print("red \\x1b[31malert", file=sys.stderr)
        print("::error title=a lie::the model says so")
        print("  ::add-mask::secret\\nof the ##[error]old kind", file=sys.stderr)

class Raises(Model):
    def habit(self):
        raise ValueError("no \\x1b[31mthanks")

class KillsItself(Model):
    def habit(self):
        os.kill(os.getpid(), signal.SIGSEGV)

class Exits(Model):
    def habit(self):
        os._exit(0)

class SysExits(Model):
    def habit(self):
        sys.exit(7)

class Hoards(Model):
    def habit(self):
        self.hoard = bytearray(2**31)

class Sleeps(Model):
    """Has a child of its own, says who is there, and sleeps."""
    def habit(self):
        child = subprocess.Popen(["sleep", "60"])
        beside = pathlib.Path("pids.new")
        beside.write_text(f"{os.getpid()} {child.pid}")
        beside.rename("pids")
        time.sleep(60)

class BreaksGradcheck(Model):
    def habit(self):
        import gradcheck_cli.judge
        def fault(*_):
            raise AssertionError("the fault")
        gradcheck_cli.judge.View = fault
'''


class CommandLine:
    """The console script, run in a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.folder, scripts = place / "work", place / "bin"
        self.folder.mkdir()
        scripts.mkdir()
        (self.folder / "habits.py").write_text(HABITS)
        numpy.save(self.folder / "x.npy", numpy.ones((4, 3), numpy.float32))
        # As the console script: the working directory is not on Python's path.
        script = scripts / "gradcheck"
        script.write_text("from gradcheck_cli.__main__ import main\nmain()\n")
        self.command = [sys.executable, str(script)]
        self.environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        return subprocess.Popen(
            [*self.command, *arguments], cwd=self.folder, env=self.environment, text=True, encoding="utf-8", **streams
        )

    def __call__(self, *arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **streams)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def on_terminal(gradcheck: CommandLine, *options: str) -> bytes:
    """Return what `gradcheck report` shows on a terminal."""
    terminal, theirs = os.openpty()
    gradcheck.environment |= {"TERM": "xterm-256color"}
    process = gradcheck.start("report", *options, stdout=theirs)
    os.close(theirs)
    read = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            break
        if not chunk:
            break
        read += chunk
    os.close(terminal)
    process.communicate(timeout=60)
    return read


def troublesome() -> Diagnosis:
    """Return a report with what makes trouble: hostile names, numbers that are not finite."""
    layer = LayerReport(
        name="first\x1b[31m",
        kind="Linear",
        parameters=("first.weight",),
        verdict=Verdict.VANISHING,
        findings=("GC101",),
        culprit=True,
        readings=LayerReadings(transmission=1e-9, gain=float("inf")),
    )
    finding = Finding(
        code="GC101",
        layer=layer.name,
        verdict=Verdict.VANISHING,
        confidence=0.9,
        culprit=True,
        message="T falls to 1e-9",
        evidence={"transmission": 1e-9, "gain": float("nan"), "depth": 3, "layers": ["first"]},
    )
    return Diagnosis(
        gradcheck_version="0.1.0",
        model=ModelFacts(path="model.pt", format="torch-module", sha256="0" * 64, parameters=42),
        sample=SampleFacts(source="synthetic", samples=128, loss="none"),
        verdict=Verdict.VANISHING,
        summary="It vanishes at first.",
        culprits=(layer.name,),
        layers=(layer,),
        findings=(finding,),
        remedies=(),
        not_measured=(),
    )
