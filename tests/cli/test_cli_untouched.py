"""A diagnosis changes no file of the user's, writes nothing but its own `.gradcheck/`, and asks no network, in every format."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import CommandLine
from format_files import BARE, exported, pickled, scripted, traced
from torch import nn

SAMPLE = ["--data", "../user/x.npy", "--batch-size", "4"]
ARCH = ["--arch", "nets:build"]
NETS = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))

def calling():
    import socket
    try:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    except Exception:
        pass
    return build()

def writing():
    open("notes.txt", "w").close()
    return build()
"""
GUARD = """
import os, sys

def refuse(event, _):
    if event.startswith("socket.") and event != "socket.__new__":
        os.write(2, f"guard: {event}\\n".encode())
        os._exit(9)

sys.addaudithook(refuse)
os.write(2, b"guard: on\\n")
"""
"""Python runs `sitecustomize` first of all, in the worker too. An end, not an exception: nobody can catch it."""


WATCHED = ("home", "tmp", "user", "work")


class Place(CommandLine):
    """A command line whose every usual place to write to is watched, and every network call is the end of it."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        for name in (*WATCHED, "guard"):
            (place / name).mkdir(exist_ok=True)
        self.root, self.user = place, place / "user"
        for left in self.folder.iterdir():
            left.rename(self.user / left.name)
        (self.user / "nets.py").write_text(NETS)
        (place / "guard" / "sitecustomize.py").write_text(GUARD)
        path = [str(place / "guard"), str(self.user), self.environment["PYTHONPATH"]]
        self.environment |= {"PYTHONPATH": ":".join(path), "HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}
        for name in [*self.environment]:
            if name.startswith(("XDG_", "HF_", "TRANSFORMERS_", "TORCH", "PYTHONDONTWRITE", "PYTHONPYCACHE")):
                del self.environment[name]

    def everything(self) -> dict[str, Any]:
        """Each folder, and each file's time, size and hash; without what is gradcheck's own."""
        own = self.folder / ".gradcheck"
        watched = (path for name in WATCHED for path in (self.root / name).rglob("*"))
        paths = [path for path in watched if path != own and own not in path.parents]
        return {str(path.relative_to(self.root)): _state(path) for path in paths}


def _state(path: Path) -> Any:
    if path.is_dir():
        return "a folder"
    status = path.stat()
    return status.st_mtime_ns, status.st_size, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Own(nn.Sequential):
    """A foreign class."""


def _net(kind: type[nn.Sequential] = nn.Sequential) -> nn.Module:
    return kind(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))


def _hugging_face(folder: Path) -> list[str]:
    import transformers

    sizes: dict[str, Any] = {"vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(**sizes, intermediate_size=32)
    transformers.BertForSequenceClassification(config).save_pretrained(folder / "bert")
    return [str(folder / "bert")]


def _command(form: str, folder: Path) -> list[str]:
    """The model and its options."""
    sample = torch.ones(4, 3)
    if form == "hugging-face":
        return _hugging_face(folder)
    if form == "entry-point":
        return ["nets:build", *SAMPLE]
    if form == "entry-file":
        return ["../user/nets.py:build", *SAMPLE]
    if form == "module":
        return [str(pickled(_net(), folder)), *SAMPLE]
    if form == "exported":
        return [str(exported(_net(), folder, sample)), *SAMPLE]
    if form in ("scripted", "traced"):
        file = scripted(_net(), folder) if form == "scripted" else traced(_net(), folder, sample)
        return [str(file), "--trust", *SAMPLE]
    return [str(BARE[form](_net(Own), folder)), *ARCH, *SAMPLE]


QUICK = ("state-dict", "sharded-safetensors", "module", "exported", "scripted", "entry-file", "hugging-face")
SLOW = [*(form for form in BARE if form not in QUICK), "traced", "entry-point"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", [*QUICK, *(pytest.param(form, marks=pytest.mark.slow) for form in SLOW)])
def test_nothing_is_touched(place: Place, form: str) -> None:
    command = _command(form, place.user)
    before = place.everything()
    ran = place("diagnose", *command, "--fail-on", "none", "--rehearse", "1")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("guard: on") == 2, "the guard stands in both processes"
    assert place.everything() == before
    kept = {path.name for path in (place.folder / ".gradcheck").iterdir()}
    assert {"last.json", ".gitignore"} <= kept


def test_the_guard_sees_a_network_call(place: Place) -> None:
    ran = place("diagnose", "nets:calling", *SAMPLE)
    assert ran.returncode == 3
    assert "guard: socket." in ran.stderr


def test_a_written_file_is_seen(place: Place) -> None:
    """The user's own factory may write one."""
    before = place.everything()
    assert place("diagnose", "nets:writing", *SAMPLE, "--fail-on", "none", "--rehearse", "0").returncode == 0
    assert place.everything().keys() - before.keys() == {"work/notes.txt"}
