"""Run a model so that its module calls are noted in `Scopes`, whatever kind of module it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from gradcheck_cli.calls import ReportsCalls
from gradcheck_cli.probe.exported import run_graph
from gradcheck_cli.probe.scopes import UNREGISTERED, Scopes, paths_of
from gradcheck_cli.records import Batch
from gradcheck_cli.tensors import map_tensors


def own_copy(batch: Batch) -> Batch:
    """A model may work in place on its input, and the batch is used again."""
    args, kwargs = map_tensors(torch.clone, (batch.args, dict(batch.kwargs)))
    return replace(batch, args=args, kwargs=kwargs)


@contextmanager
def recorded(module: nn.Module) -> Iterator[tuple[Scopes, Callable[[Batch], Any]]]:
    """Give `(scopes, run)`: `run(batch)` calls the model and fills `scopes`. Hooks are gone afterwards, whatever happens."""
    scopes = Scopes()
    if isinstance(module, torch.fx.GraphModule):
        yield scopes, lambda batch: run_graph(module, batch, scopes)
        return
    if isinstance(module, ReportsCalls):
        yield scopes, lambda batch: module.call_reporting(batch.args, batch.kwargs, scopes)
        return
    paths = paths_of(module)

    def before(child: nn.Module, _inputs: Any) -> None:
        path = paths.get(id(child))
        scopes.enter(UNREGISTERED if path is None else path, type(child).__name__, leaf=not child._modules)

    def after(_child: nn.Module, inputs: Any, output: Any) -> None:
        scopes.leave(output, inputs)

    handles = (register_module_forward_pre_hook(before), register_module_forward_hook(after, always_call=True))
    try:
        yield scopes, lambda batch: module(*batch.args, **batch.kwargs)
    finally:
        for handle in handles:
            handle.remove()
