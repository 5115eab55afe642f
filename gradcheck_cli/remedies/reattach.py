"""Join what was cut off from the loss.

By operation: leave ``detach`` out, pass straight through a rounding, call the module, thaw the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import module_path
from gradcheck_cli.remedies.snippets import literal, submodule

ROUNDING = {"round": "torch.round(z)", "floor": "torch.floor(z)", "ceil": "torch.ceil(z)", "sign": "torch.sign(z)",
            "trunc": "torch.trunc(z)", "heaviside": "(z > 0).float()", "gt": "(z > 0).float()"}  # fmt: skip
"""Operations with a derivative of 0 everywhere → the call, of an input ``z``."""
CHOOSING = frozenset({"argmax", "argmin", "max", "topk", "one_hot", "multinomial", "bernoulli"})
"""Operations that give an index or a draw."""


def _fits(case: Case) -> bool:
    """Cut paths; a zero gradient only where no zero weight of the layer's own explains it."""
    return case.code != "GC304" or not case.finding.evidence.get("zero_weights")


def _why(cases: Sequence[Case]) -> str:
    case = cases[0]
    if case.code == "GC303":
        return "Trained are only modules that forward() runs and that belong to the model: call it, or remove it."
    if case.operation in ROUNDING or case.operation in CHOOSING:
        return (
            f"{case.operation} has no useful derivative. Straight-through keeps its value in the forward pass and "
            "passes the gradient on as if it were the identity or a softmax."
        )
    return "Behind this place the path to the loss ends, so nothing in front of it ever gets a gradient."


def _how(cases: Sequence[Case]) -> str:
    """Code of ``forward``, one passage for each way of cutting; ``x``, ``y``, ``z`` are what flows there."""
    return "\n".join(dict.fromkeys(map(_passage, cases)))


def _passage(case: Case) -> str:
    module, operation, after = _call(case), case.operation, literal(case.layer)
    where = f"# in forward() of {submodule(case.fact('where'))}\n"
    if operation in {"list", "dict", "unregistered"} or case.layer.startswith("<unregistered>"):
        return "model.layers = nn.ModuleList(model.layers)  # a plain list or dict hides modules from the optimiser"
    if case.code == "GC303":
        return f"y = {module}(y)  # in forward(), where it belongs; otherwise remove {after}"
    if operation in ROUNDING:
        return f"{where}y = z + ({ROUNDING[operation]} - z).detach()  # z: what {operation} gets, after {after}"
    if operation in CHOOSING:
        return f"{where}y = F.gumbel_softmax(z, hard=True)  # one-hot, in place of {operation}, after {after}"
    if case.code == "GC304":
        return f"y = z + (torch.round(z) - z).detach()  # if a rounding or a step follows {after}"
    if operation in {"requires_grad", "frozen"}:
        return f"{module}.requires_grad_(True)"
    if operation in {"no_grad", "inference_mode"}:
        return f"{where}with torch.enable_grad():  # better: no torch.{operation}() around it\n    y = {module}(x)"
    return f"{where}y = {module}(x)  # without .detach(), .data, .item() or .numpy() on the way to the loss"


def _call(case: Case) -> str:
    """Code for the culprit's module; the identity where it is none."""
    path = next((module_path(layer) for layer in case.weights if layer.name == case.layer), None)
    return "nn.Identity()" if path is None else submodule(path)


REMEDY = RemedyUnit(
    id="reattach",
    title="Reattach what is cut off from the loss",
    answers={"GC302": 1, "GC303": 1, "GC304": 2},
    cures=frozenset({"cut"}),
    source="Bengio, Léonard, Courville 2013 (straight-through); Jang 2017 (Gumbel-softmax); torch autograd notes",
    fits=_fits,
    why=_why,
    how=_how,
)
