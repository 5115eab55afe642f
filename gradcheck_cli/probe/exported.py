"""Run an exported program node by node, reporting each module call from the nodes' `nn_module_stack`."""

from __future__ import annotations

import operator
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
        self.made: list[list[fx.Node]] = []
        """For each open frame, the nodes whose values may leave it."""
        self.leaves = _leaf_calls(module)
        self.places = {node: place for place, node in enumerate(module.graph.nodes)}
        self.last_reads = _last_reads(self.places)

    def call(self, batch: Batch) -> Any:
        """Run all nodes; scopes are closed whatever happens."""
        arguments = self._arguments(batch)
        path = root_path(self.program)
        self.scopes.enter(path, "GraphModule", leaf=bool(path))
        output: Any = None
        try:
            output = self.run(*arguments, enable_io_processing=False)
            self._leave_down_to(0, len(self.places) - 1)
        finally:
            for _ in self.frames:  # open still: a node raised
                self.scopes.leave(None)
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
        self._move_to(_frames(n), self.places[n])
        result = super().run_node(n)
        if self.made:
            self.made[-1].append(n)
        return result

    def _move_to(self, frames: list[Frame], place: int) -> None:
        common = 0
        while common < min(len(frames), len(self.frames)) and frames[common] == self.frames[common]:
            common += 1
        self._leave_down_to(common, place)
        for frame in frames[common:]:
            self.frames.append(frame)
            self.made.append([])
            self.scopes.enter(frame[1], frame[2], leaf=frame[0] in self.leaves)

    def _leave_down_to(self, depth: int, place: int) -> None:
        """Leave the frames above `depth`; what is read at `place` or later is what they return, in the order it was made."""
        while len(self.frames) > depth:
            self.frames.pop()
            returned = [node for node in self.made.pop() if self.last_reads[node] >= place]
            self.scopes.leave([self.env[node] for node in returned])
            if self.made:
                self.made[-1] += returned


def _last_reads(places: dict[fx.Node, int]) -> dict[fx.Node, int]:
    """Where each node is read last; -1 where it never is.

    Of a call with several values (an LSTM's states), those that nobody reads are handed out with those that are.
    """
    last = {node: max(map(places.__getitem__, node.users), default=-1) for node in places}
    for node in places:
        if node.target is operator.getitem and not node.users and isinstance(node.args[0], fx.Node):
            last[node] = max(last[other] for other in node.args[0].users)
    return last


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


def _leaf_calls(module: fx.GraphModule) -> set[str]:
    """Keys of the calls in which no other module runs, of modules without children (of which some may never be called)."""
    parents = {path.rpartition(".")[0] for path, _ in module.named_modules()}
    keys: set[str] = set()
    inner: set[str] = set()
    for node in module.graph.nodes:
        frames = _frames(node)
        keys.update(key for key, path, _ in frames if path not in parents)
        inner.update(key for key, _, _ in frames[:-1])
    return keys - inner
