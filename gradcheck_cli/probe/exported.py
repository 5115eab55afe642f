"""Run an exported program node by node, reporting each module call from the nodes' `nn_module_stack`."""

from __future__ import annotations

from typing import Any

from torch import fx

from gradcheck_cli.probe.scopes import Scopes, root_path
from gradcheck_cli.records import Batch

Frame = tuple[str, str, str]
"""(key of the call, module path, class name)."""


def run_graph(module: fx.GraphModule, batch: Batch, scopes: Scopes) -> Any:
    """Interpret `module` on `batch`; kwargs are passed in the order of its placeholders."""
    return _Reporter(module, scopes).call(batch)


class _Reporter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, scopes: Scopes) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.program = module
        self.scopes = scopes
        self.frames: list[Frame] = []
        self.last: list[Any] = []
        self.leaves = _leaf_calls(module.graph)

    def call(self, batch: Batch) -> Any:
        """Run all nodes; scopes are closed whatever happens."""
        arguments = self._arguments(batch)
        path = root_path(self.program)
        self.scopes.enter(path, "GraphModule", leaf=bool(path))
        output: Any = None
        try:
            output = self.run(*arguments, enable_io_processing=False)
        finally:
            self._move_to([])
            self.scopes.leave(output)
        return self.program.graph._codegen.process_outputs(output)

    def _arguments(self, batch: Batch) -> list[Any]:
        codegen = self.program.graph._codegen
        tree = getattr(getattr(codegen, "pytree_info", None), "in_spec", None)
        if tree is not None:
            from torch.export._tree_utils import reorder_kwargs
            from torch.utils import _pytree as pytree

            flat, _ = pytree.tree_flatten((tuple(batch.args), reorder_kwargs(dict(batch.kwargs), tree)))
            return list(flat)
        return [*batch.args, *batch.kwargs.values()]

    def run_node(self, n: fx.Node) -> Any:
        """Enter and leave module scopes around one node, then run it."""
        if n.op in ("placeholder", "get_attr", "output"):
            return super().run_node(n)
        self._move_to(_frames(n))
        result = super().run_node(n)
        self.last = [result for _ in self.last]
        return result

    def _move_to(self, frames: list[Frame]) -> None:
        common = 0
        while common < min(len(frames), len(self.frames)) and frames[common] == self.frames[common]:
            common += 1
        while len(self.frames) > common:
            self.frames.pop()
            self.scopes.leave(self.last.pop())
        for frame in frames[common:]:
            self.frames.append(frame)
            self.last.append(None)
            self.scopes.enter(frame[1], frame[2], leaf=frame[0] in self.leaves)


def _frames(node: fx.Node) -> list[Frame]:
    stack = node.meta.get("nn_module_stack") or {}
    frames = []
    for key, (path, kind) in stack.items():
        path = _clean(str(path))
        if path:
            name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
            frames.append((str(key), path, name.rpartition(".")[2]))
    return frames


def _clean(path: str) -> str:
    """``L['self'].layer1.0@1`` → ``layer1.0``."""
    path = path.removeprefix("L['self']").lstrip(".")
    return path.partition("@")[0]


def _leaf_calls(graph: fx.Graph) -> set[str]:
    """Keys of the calls in which no other module runs."""
    keys: set[str] = set()
    inner: set[str] = set()
    for node in graph.nodes:
        frames = [frame[0] for frame in _frames(node)]
        keys.update(frames)
        inner.update(frames[:-1])
    return keys - inner
