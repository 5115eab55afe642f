"""An export against the PyTorch original, gradient by gradient: parameters are matched by name, and proved the same by value."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch
from comparing_values import copied, feed_of, flat
from torch import Tensor, nn

from gradcheck_cli.loaders.onnx_model import build as building
from gradcheck_cli.loaders.onnx_model import values

NOISE = {torch.float64: 1e-6, torch.float32: 1e-3}
"""A gradient this much smaller than the whole model's is rounding noise, and is compared with the whole's."""
FINE = 1e-5
"""Above this relative error, the comparison is made once more in float64."""


@dataclass
class GradientsResult:
    """How far our gradients are from the PyTorch original's, and what became of each of its parameters."""

    same: list[str] = field(default_factory=list)
    """Under its name, with its values; perhaps with axes of size 1 more."""
    transposed: list[str] = field(default_factory=list)
    expanded: list[str] = field(default_factory=list)
    """Repeated for each sample, or only the rows that are used."""
    tied: list[str] = field(default_factory=list)
    """Under the name of another module that shares it."""
    scaled: list[str] = field(default_factory=list)
    """A folded batch norm multiplied it: compared by the chain rule."""
    folded: list[str] = field(default_factory=list)
    """Of a batch norm that the file does not have; a bias is compared with that of the convolution."""
    composed: list[str] = field(default_factory=list)
    """Of a parametrised weight (weight norm …) that the file has ready: compared by the chain rule."""
    pieces: list[str] = field(default_factory=list)
    """Cut or renamed within its module: compared piece by piece."""
    shifted: list[str] = field(default_factory=list)
    """With other values, but with its gradient: a constant was added."""
    dropped: list[str] = field(default_factory=list)
    """All zero, and not written."""
    unused: list[str] = field(default_factory=list)
    """Without a gradient in the original, or one of zero."""
    lost: list[str] = field(default_factory=list)
    """Missing, and nothing of the above."""
    changed: list[str] = field(default_factory=list)
    """There, with other values."""
    wrong: list[str] = field(default_factory=list)
    """There, with another gradient."""
    buffers: list[str] = field(default_factory=list)
    """Ours, and buffers of the original's: the format does not tell."""
    extra: list[str] = field(default_factory=list)
    """Ours, and nothing of the original's."""
    worst: float = 0.0
    """Largest relative error of the compared ones."""
    where: str = ""

    @property
    def compared(self) -> int:
        """How many of the original's parameters were compared."""
        ways = (self.same, self.transposed, self.expanded, self.tied, self.scaled, self.composed, self.pieces)
        return sum(map(len, ways))


def loss_of(outputs: Iterable[Tensor]) -> Tensor:
    """A random question to all floating outputs, the same at every call."""
    generator = torch.Generator().manual_seed(5)
    asked = [
        (torch.randn(output.shape, generator=generator).to(output.dtype) * output.nan_to_num(0, 0, 0)).sum().double()
        for output in outputs
        if output.is_floating_point()
    ]
    return torch.stack(asked).sum()


def compare_gradients(
    model: onnx.ModelProto, original: nn.Module, inputs: tuple[Any, ...], limit: float = 1e-4
) -> GradientsResult:
    """Of `loss_of`, on both sides, parameter by parameter; again in float64 where rounding may be to blame."""
    result = _compared(model, original, inputs, torch.float32, limit)
    if result.worst <= FINE and not result.wrong:
        return result
    try:
        finer = _compared(model, copy.deepcopy(original).double(), inputs, torch.float64, limit)
    except Exception:  # float32 is written into the file
        return result
    return min(finer, result, key=lambda each: (len(each.wrong), each.worst))


def _compared(
    model: onnx.ModelProto, original: nn.Module, inputs: tuple[Any, ...], dtype: torch.dtype, limit: float
) -> GradientsResult:
    ours = building.build(copied(model)).eval().to(dtype)
    floating = {value.name for value in model.graph.output if value.type.tensor_type.elem_type in values.FLOATING}
    assert set(ours.output_names) == floating
    given = tuple(_as(value, dtype) for value in inputs)
    found = gradients(ours, loss_of(flat(ours(**feed_of(model, given)))))
    wanted = gradients(original, loss_of(flat(original(*given))))
    return _Matching(original, wanted, dict(ours.named_parameters()), found, limit, dtype).result


def _as(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def gradients(module: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    """Parameter → gradient; None where there is no path."""
    names, parameters = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


class _Matching:
    def __init__(
        self,
        original: nn.Module,
        wanted: Mapping[str, Tensor | None],
        ours: Mapping[str, Tensor],
        found: Mapping[str, Tensor | None],
        limit: float,
        dtype: torch.dtype,
    ) -> None:
        self.dtype = dtype
        self.original = original
        self.theirs = {n: _real(p) for n, p in original.named_parameters()}
        self.wanted = {n: _real(g) for n, g in wanted.items() if g is not None and bool(g.any())}
        self.ours = ours
        own = {n: g for n, g in found.items() if g is not None}
        self.found = {n: own.get(n, torch.zeros_like(ours[n])) for n in ours}
        self.limit = limit
        self.result = GradientsResult(unused=[n for n in wanted if n not in self.wanted])
        self.total = float(sum(g.double().square().sum() for g in self.wanted.values()) ** 0.5)
        self.factors: dict[str, Tensor] = {}
        """Of a weight that a batch norm was folded into."""
        self.left = {n for n in ours if n not in self.theirs}
        for name in self.result.unused:  # without a gradient, but its module is known to be scaled
            if name in ours and (scale := _factors(self.theirs[name], ours[name])) is not None:
                self.factors[name.rpartition(".")[0]] = scale
        for name in sorted(self.wanted, key=lambda n: n.endswith("bias")):  # weights tell what became of their biases
            if name in ours:
                self._match(name)
            else:
                self._missing(name)
        self._explain_rest()

    def _explain_rest(self) -> None:
        buffers = list(self.original.buffers())
        shared = {n for n, _ in self.original.named_parameters(remove_duplicate=False)} | set(self.result.unused)
        for name in sorted(self.left - shared):
            own, path = self.ours[name], name.rpartition(".")[0]
            is_zero = not own.any() and any(each.startswith(path) for each in self.result.dropped)
            if is_zero or self._is_of_unused(name):
                continue
            owner = self.original.get_submodule(path) if path in self.factors else None
            if owner is not None and getattr(owner, "bias", owner) is None:
                continue  # a batch norm's, without a gradient
            same = any(_row_of(value, b) is not None for b in buffers for value, _ in _turned(own, own, b))
            (self.result.buffers if same else self.result.extra).append(name)

    def _is_of_unused(self, name: str) -> bool:
        """Whether it is, renamed, a parameter without a gradient."""
        path, own = name.rpartition(".")[0], self.ours[name]
        unused = [self.theirs[n] for n in self.result.unused if n.rpartition(".")[0] == path]
        return any(_equal(value, one) for one in unused for value, _ in _turned(own, own, one))

    # ------------------------------------------------------------------------------------------- under their own names

    def _match(self, name: str) -> None:
        result, theirs, ours, found = self.result, self.theirs[name], self.ours[name], self.found[name]
        factors = self.factors.get(name.rpartition(".")[0])
        if _equal(ours, theirs) or (ours.numel() == theirs.numel() and _equal(ours.reshape(theirs.shape), theirs)):
            self._compare(result.same, name, found.reshape(theirs.shape))
        elif theirs.dim() == 2 and _equal(ours, theirs.T):
            self._compare(result.transposed, name, found.T)
        elif _is_expanded(ours, theirs):
            self._compare(result.expanded, name, found.sum_to_size(theirs.shape))
        elif (summed := self._rows_summed(name)) is not None:
            self._compare(result.expanded, name, summed)
        elif (scale := _factors(theirs, ours)) is not None:
            self.factors[name.rpartition(".")[0]] = scale
            self._compare(result.scaled, name, found * scale)
        elif name.endswith("bias") and factors is not None and factors.numel() == found.numel():
            self._compare(result.scaled, name, found * factors.flatten())
        elif ours.shape == theirs.shape and self._error(name, found) <= self.limit:
            result.shifted.append(name)
        else:
            result.changed.append(name)

    def _rows_summed(self, name: str) -> Tensor | None:
        """The gradient of a table of which the file has only the rows that are used, perhaps in several constants."""
        theirs = self.theirs[name]
        total = torch.zeros_like(theirs)
        for each in [name, *sorted(n for n in self.left if re.fullmatch(rf"{re.escape(name)}_\d+", n))]:
            rows = _rows(self.ours[each], theirs)
            if rows is None:
                return None
            total = total.index_add(0, rows, self.found[each].reshape(len(rows), -1))
            self.left.discard(each)
        return total

    def _error(self, name: str, found: Tensor) -> float:
        return self._relative(found.double(), self.wanted[name].double())

    def _relative(self, found: Tensor, wanted: Tensor) -> float:
        least = max(NOISE[self.dtype] * self.total, 1e-30)
        return float((found - wanted).norm()) / max(float(wanted.norm()), least)

    def _compare(self, ways: list[str], name: str, found: Tensor, wanted: Tensor | None = None) -> None:
        wanted = (self.wanted[name] if wanted is None else wanted).double().clone()
        found = found.double().clone()
        owner = self.original.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, nn.Embedding) and owner.padding_idx is not None:  # not in the file
            found[owner.padding_idx] = wanted[owner.padding_idx] = 0
        error = self._relative(found, wanted)
        if not error <= self.limit:
            self.result.wrong.append(f"{name} ({error:.1e})")
        else:
            ways.append(name)
            if error > self.result.worst:
                self.result.worst, self.result.where = error, name

    # -------------------------------------------------------------------------------------------------- under none of theirs

    def _missing(self, name: str) -> None:
        path, _, last = name.rpartition(".")
        owner = self.original.get_submodule(path)
        if self._is_tied(name) or self._is_composed(name) or self._in_pieces(name):
            return
        if isinstance(owner, nn.modules.batchnorm._BatchNorm):
            self.result.folded.append(name)
            if last == "bias":
                self._folded_bias(name)
        elif not self.theirs[name].any():
            self.result.dropped.append(name)
        else:
            self.result.lost.append(name)

    def _is_tied(self, name: str) -> bool:
        parameter = self.theirs[name]
        for other, same in self.original.named_parameters(remove_duplicate=False):
            if same is parameter and other in self.left:
                self.left.discard(other)
                found = self.found[other]
                turned = self.ours[other].shape != parameter.shape
                self._compare(self.result.tied, name, found.T if turned else found)
                return True
        return False

    def _folded_bias(self, name: str) -> None:
        """A convolution without a bias gets that of its batch norm: one of ours that is extra has its gradient."""
        wanted = self.wanted[name]
        for other in sorted(each for each in self.left if each.endswith("bias")):
            found = self.found[other]
            scaled = other.rpartition(".")[0] in self.factors and found.shape == wanted.shape
            if scaled and self._error(name, found) <= self.limit:
                self.left.discard(other)
                return

    def _is_composed(self, name: str) -> bool:
        path, separator, rest = name.partition(".parametrizations.")
        if not separator:
            return False
        module, leaf = self.original.get_submodule(path), rest.split(".")[0]
        ready = f"{path}.{leaf}" if path else leaf
        if ready not in self.ours:
            return False
        self.left.discard(ready)
        weight = getattr(module, leaf)
        own, found = self.ours[ready], self.found[ready]
        if not torch.allclose(own, weight, rtol=1e-4, atol=1e-6):
            if not torch.allclose(own, weight.mT, rtol=1e-4, atol=1e-6):
                return False
            found = found.mT
        parts = list(getattr(module.parametrizations, leaf).parameters())
        given = torch.autograd.grad(weight, parts, found)
        at = next(i for i, part in enumerate(parts) if part is self.theirs[name])
        self._compare(self.result.composed, name, given[at])
        return True

    def _in_pieces(self, name: str) -> bool:
        """Its values are those of parameters of ours in its module or one around it, in rows of it, perhaps transposed."""
        parameter, path = self.theirs[name], name.rpartition(".")[0]
        pieces: dict[int, tuple[int, Tensor]] = {}
        for other in sorted(n for n in self.left if f"{path}.".startswith(n.rpartition(".")[0] + ".")):
            for own, found in _turned(self.ours[other], self.found[other], parameter):
                at = _row_of(own, parameter)
                if at is not None and at not in pieces:
                    pieces[at] = (len(own), found)
                    self.left.discard(other)
                    break
        if not pieces or sum(size for size, _ in pieces.values()) != len(parameter):
            return False
        joined = torch.cat([found for _, (_, found) in sorted(pieces.items())])
        self._compare(self.result.pieces, name, joined.reshape(parameter.shape))
        return True


def _turned(value: Tensor, gradient: Tensor, like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """As it is, transposed, and without the axes of size 1 that `like` does not have."""
    ways = [(value, gradient)]
    if value.dim() > 1:
        ways.append((value.mT, gradient.mT))
    if value.numel() == like.numel() and value.squeeze().shape == like.squeeze().shape:
        ways.append((value.reshape(like.shape), gradient.reshape(like.shape)))
    return ways


def _row_of(piece: Tensor, whole: Tensor) -> int | None:
    """At which of its rows `whole` begins to be `piece`."""
    if not piece.dim() or not whole.dim() or piece.shape[1:] != whole.shape[1:] or len(piece) > len(whole):
        return None
    return next((at for at in range(len(whole) - len(piece) + 1) if _equal(whole[at : at + len(piece)], piece)), None)


def _real(tensor: Tensor) -> Tensor:
    """Exporters write complex numbers as pairs; torch's complex gradients are those of the parts."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one, other, rtol=1e-6, atol=1e-9))


def _rows(ours: Tensor, theirs: Tensor) -> Tensor | None:
    """Which rows of the matrix `theirs` the rows of `ours` are, if that is all it is."""
    if theirs.dim() != 2 or ours.shape[-1] != theirs.shape[1]:
        return None
    equal = (ours.reshape(-1, 1, theirs.shape[1]) - theirs).abs().amax(-1) <= 1e-7 * theirs.abs().max()
    return equal.int().argmax(1) if bool((equal.sum(1) == 1).all()) else None


def _is_expanded(ours: Tensor, theirs: Tensor) -> bool:
    try:
        return _equal(ours, theirs.expand(ours.shape))
    except RuntimeError:
        return False


def _factors(theirs: Tensor, ours: Tensor) -> Tensor | None:
    """What an output channel was multiplied by, if all that became of `theirs` is that."""
    if theirs.shape != ours.shape or theirs.dim() < 2:
        return None
    for axis in (0, 1):
        others = [d for d in range(theirs.dim()) if d != axis]
        squares = theirs.double().square().sum(others, keepdim=True).clamp(min=1e-30)
        factors = (ours.double() * theirs.double()).sum(others, keepdim=True) / squares
        if torch.allclose(theirs.double() * factors, ours.double(), rtol=1e-4, atol=1e-6 * float(ours.abs().max())):
            return factors.to(theirs.dtype)
    return None
