"""The house holds: imports go one way, without cycles; only `cli` and `render` speak; the quick stays quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "gradcheck_cli"
ROOT = Path(__file__).resolve().parents[1]

LEVELS = (
    (
        "records",
        "errors",
        "config",
        "text",
        "tensors",
        "graph",
        "readings",
        "calls",
        "",
    ),  # "": the package itself, for its version
    ("onnx_ops",),
    ("loaders",),
    ("sample",),
    ("probe",),
    ("rehearsal",),
    ("rules",),
    ("judge",),
    ("redraw", "checkpoints", "assemble", "compare"),
    ("remedies",),
    ("render",),
    ("store",),
    ("pipeline",),
    ("worker",),
    ("cli",),
    ("__main__",),
)
"""The rooms in the order in which data flows; each may import from those before it and within itself."""
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

LATE = {("records", "render")}
"""Imports upward that only happen when a method is called: `Diagnosis.to_json` is a convenience of the contract."""


@dataclass(frozen=True)
class Import:
    """`importer` needs `imported` at run time."""

    importer: str
    imported: str
    late: bool
    """Inside a function."""


def modules(root: Path) -> dict[str, ast.Module]:
    """Return dotted module name → tree of all that is under ``root / PACKAGE``."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(trees: dict[str, ast.Module]) -> list[Import]:
    return [found for name, tree in trees.items() for found in _imports(name, tree, trees)]


def _imports(importer: str, tree: ast.Module, trees: dict[str, ast.Module]) -> Iterator[Import]:
    for node, late in _run_nodes(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer} imports relatively"
            # `from package import module` imports the module, `from module import name` does not.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in trees else str(node.module) for name in names]
        else:
            continue
        yield from (Import(importer, name, late) for name in dict.fromkeys(names))


def _run_nodes(node: ast.AST, late: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Give all nodes but those that only a type checker sees, with whether they are inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        inside = late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield child, late
        yield from _run_nodes(child, inside)


def room(module: str) -> str:
    """Return the first part of a module's name under the package."""
    return module.partition(".")[2].partition(".")[0]


def wrong_ways(found: list[Import]) -> list[str]:
    ours = [each for each in found if each.imported.partition(".")[0] == PACKAGE]
    return [
        f"{each.importer} imports {each.imported}"
        for each in ours
        if LEVEL[room(each.imported)] > LEVEL[room(each.importer)]
        and not (each.late and (room(each.importer), room(each.imported)) in LATE)
    ]


def cycle(found: list[Import]) -> list[str]:
    """Return the modules of one import cycle; empty where there is none."""
    needs: dict[str, list[str]] = {}
    for each in found:
        if not (each.late and (room(each.importer), room(each.imported)) in LATE):
            needs.setdefault(each.importer, []).append(each.imported)
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for needed in needs.get(module, ()):
                if ring := walk(needed, (*path, module)):
                    return ring
            done.add(module)
        return []

    return next((ring for module in list(needs) if (ring := walk(module, ()))), [])


def speakers(trees: dict[str, ast.Module]) -> list[str]:
    """Return what prints, or imports rich, outside of `cli` and `render`."""
    found = [
        f"{name} prints"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    found += [
        f"{each.importer} imports rich"
        for each in imports(trees)
        if each.imported.partition(".")[0] in ("rich", "typer")
    ]
    return [each for each in found if room(each.partition(" ")[0]) not in ("cli", "render")]


TREES = modules(ROOT)


def test_every_module_has_its_level() -> None:
    assert {room(name) for name in TREES} <= set(LEVEL)
    assert len(TREES) > 30


def test_imports_go_one_way() -> None:
    assert wrong_ways(imports(TREES)) == []


def test_no_cycles() -> None:
    assert cycle(imports(TREES)) == []


def test_only_cli_and_render_speak() -> None:
    assert speakers(TREES) == []


@pytest.mark.parametrize(
    ("files", "way", "ring", "speaker"),
    [
        (
            {"loaders/a.py": "from gradcheck_cli import probe"},
            ["gradcheck_cli.loaders.a imports gradcheck_cli.probe"],
            [],
            [],
        ),
        (
            {"probe/a.py": "def f():\n    import gradcheck_cli.judge"},
            ["gradcheck_cli.probe.a imports gradcheck_cli.judge"],
            [],
            [],
        ),
        ({"records.py": "import gradcheck_cli.render"}, ["gradcheck_cli.records imports gradcheck_cli.render"], [], []),
        ({"records.py": "def f():\n    import gradcheck_cli.render"}, [], [], []),
        ({"judge.py": "if TYPE_CHECKING:\n    from gradcheck_cli.cli import x"}, [], [], []),
        (
            {
                "loaders/a.py": "from gradcheck_cli.loaders import b",
                "loaders/b.py": "from gradcheck_cli.loaders.a import x",
            },
            [],
            ["gradcheck_cli.loaders.a", "gradcheck_cli.loaders.b", "gradcheck_cli.loaders.a"],
            [],
        ),
        ({"probe/a.py": "print(1)", "cli/a.py": "print(1)"}, [], [], ["gradcheck_cli.probe.a prints"]),
        ({"judge.py": "from rich.text import Text"}, [], [], ["gradcheck_cli.judge imports rich"]),
    ],
)
def test_faults_are_seen(
    tmp_path: Path, files: dict[str, str], way: list[str], ring: list[str], speaker: list[str]
) -> None:
    for name, code in ({"probe/__init__.py": "", "render/__init__.py": "", "judge.py": ""} | files).items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    trees = modules(tmp_path)
    assert wrong_ways(imports(trees)) == way
    assert cycle(imports(trees)) == ring
    assert speakers(trees) == speaker


def run_cli(arguments: list[str]) -> str:
    return f"from gradcheck_cli.cli.app import run; run({arguments!r})"


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import gradcheck_cli", {"torch", "numpy", "msgspec", "typer", "rich"}),
        ("from gradcheck_cli import Diagnosis, Verdict, errors", {"torch", "numpy", "typer", "rich"}),
        ("import gradcheck_cli.pipeline, gradcheck_cli.store", {"torch", "numpy", "typer", "rich"}),
        ("import gradcheck_cli.worker.supervise", {"torch", "numpy", "typer", "rich"}),
        (run_cli(["--help"]), {"torch", "numpy", "rich", "msgspec"}),
        (run_cli(["diagnose", "--help"]), {"torch", "numpy", "rich", "msgspec"}),
        (run_cli(["--version"]), {"torch", "numpy", "rich", "msgspec"}),
        (run_cli(["explain", "GC101"]), {"torch", "numpy", "rich"}),
        (run_cli(["rules"]), {"torch", "numpy", "rich"}),
        (run_cli(["report", "--json"]), {"torch", "numpy", "rich"}),
        (run_cli(["report"]), {"torch", "numpy"}),
    ],
)
def test_what_must_be_quick_imports_nothing_heavy(tmp_path: Path, code: str, unwanted: set[str]) -> None:
    (tmp_path / ".gradcheck").mkdir()
    (tmp_path / ".gradcheck" / "last.json").write_text(KEPT)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}\nprint(sorted(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    *said, names = ran.stderr.splitlines()
    assert said == []
    assert set(ast.literal_eval(names)) & unwanted == set()


KEPT = """
{"schema_version": 1, "gradcheck_version": "0.1.0",
"model": {"path": "m.pt", "format": "torch-module", "sha256": null, "parameters": 1},
"sample": {"source": "synthetic", "samples": 1, "loss": "none"},
"verdict": "healthy", "summary": "Fine.", "culprits": [], "layers": [],
"findings": [], "remedies": [], "not_measured": []}
"""
