from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gradcheck_cli.errors import ExitStatus, GradcheckError, ModelError, NotCompleted
from gradcheck_cli.loaders import load

SOURCE = """
import torch
from torch import nn

net = nn.Linear(2, 3)
number = 5

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.inner = nn.Linear(width, width)

    @classmethod
    def small(cls):
        return cls(2)

class Needy(nn.Module):
    def __init__(self, width):
        super().__init__()

def factory(*args, depth=2, **kwargs):
    return nn.Sequential(*[nn.ReLU() for _ in range(depth)])

def needs(width, *, depth):
    return nn.Linear(width, depth)

def gives_dict():
    return {"weight": torch.zeros(2)}

def lazy():
    return nn.LazyLinear(3)

def meta():
    return nn.Linear(2, 2, device="meta")

def raises():
    return helper()

def helper():
    raise KeyError("no such layer")

def exits():
    raise SystemExit(3)

def interrupted():
    raise KeyboardInterrupt
"""

RAISES = SOURCE.splitlines().index('    raise KeyError("no such layer")') + 1


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "entry_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(SOURCE)
    (package / "broken.py").write_text("import torch\n1 / 0\n")
    (package / "syntax.py").write_text("def (:\n")
    (package / "needy.py").write_text("import surely_not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("entry_package") or name == "nets"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("entry_package.nets:net", "Linear"),
        ("entry_package.nets:Net", "Net"),
        ("entry_package.nets:Net.small", "Net"),
        ("entry_package.nets:factory", "Sequential"),
        ("entry_package/nets.py:factory", "Sequential"),
        ("./entry_package/nets.py:Net", "Net"),
    ],
)
def test_an_entry_point_gives_its_module(project: Path, spec: str, kind: str) -> None:
    subject = load(spec)
    assert type(subject.module).__name__ == kind
    assert (subject.path, subject.format, subject.sha256) == (spec, "entry-point", None)


@pytest.mark.parametrize(
    ("spec", "slug", "words"),
    [
        ("entry_package.nest:net", "no-such-module", ["entry_package.nest"]),
        ("surely_not_there:net", "no-such-module", ["surely_not_there"]),
        ("entry_package.needy:net", "no-such-module", ["surely_not_installed_anywhere", "not installed"]),
        ("entry_package.nets:factroy", "no-such-attribute", ["factroy", "factory"]),
        ("entry_package.nets:Net.big", "no-such-attribute", ["big"]),
        ("entry_package.nets:needs", "needs-arguments", ["width", "depth"]),
        ("entry_package.nets:Needy", "needs-arguments", ["width"]),
        ("entry_package.nets:number", "not-a-module", ["int"]),
        ("entry_package.nets:gives_dict", "not-a-module", ["dict"]),
        ("entry_package.nets:lazy", "uninitialized-parameters", ["weight"]),
        ("entry_package.nets:meta", "no-values", ["weight"]),
        ("entry_package/other.py:net", "missing-file", ["other.py"]),
        ("entry_package.nets", "missing-file", []),
        ("weights 1.pt:net", "missing-file", []),
        ("model.pt:3", "missing-file", []),
    ],
)
def test_what_is_wrong_is_said(project: Path, spec: str, slug: str, words: list[str]) -> None:
    with pytest.raises(ModelError) as caught:
        load(spec)
    assert caught.value.slug == slug
    assert caught.value.hint
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("entry_package.nets:raises", ["KeyError", "no such layer", f"nets.py:{RAISES}"]),
        ("entry_package/nets.py:raises", ["KeyError", f"nets.py:{RAISES}"]),
        ("entry_package.broken:net", ["ZeroDivisionError", "broken.py:2"]),
        ("entry_package.syntax:net", ["SyntaxError", "syntax.py:1"]),
        ("entry_package.nets:exits", ["SystemExit", "3"]),
    ],
)
def test_the_users_own_failure_is_not_completed(project: Path, spec: str, words: list[str]) -> None:
    with pytest.raises(NotCompleted) as caught:
        load(spec)
    assert (caught.value.slug, caught.value.status) == ("entry-point-failed", ExitStatus.NOT_COMPLETED)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_interrupt_passes(project: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load("entry_package.nets:interrupted")


def test_an_existing_file_comes_before_an_entry_point(project: Path) -> None:
    torch.save(nn.Linear(2, 2), project / "entry_package.nets:net")
    assert load("entry_package.nets:net").format == "torch-module"


def test_code_in_a_file_does_not_run_without_trust(project: Path) -> None:
    (project / "script.py").write_text("raise SystemError")
    with pytest.raises(GradcheckError) as caught:
        load("script.py")
    assert caught.value.slug == "not-a-model"
