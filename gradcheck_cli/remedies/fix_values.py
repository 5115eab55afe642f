"""Bring weights and values back into range.

Restore weights from before they broke; guard operations that leave the range.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import module_path
from gradcheck_cli.remedies.snippets import chosen_weights, literal, submodule

GUARDS = {
    "log": "y = torch.log(x.clamp(min=1e-8))  # log(0) is -inf",
    "sqrt": "y = torch.sqrt(x.clamp(min=0.0) + 1e-8)  # the slope of sqrt at 0 is infinite",
    "rsqrt": "y = torch.rsqrt(x.clamp(min=0.0) + 1e-8)",
    "div": "y = a / b.clamp(min=1e-8)  # for b >= 0",
    "reciprocal": "y = 1.0 / x.clamp(min=1e-8)  # for x >= 0",
    "exp": "y = torch.exp(x.clamp(max=80.0))  # float32 overflows at 88",
    "pow": "y = x.clamp(min=1e-8).pow(p)  # for a p below 1",
    "norm": "y = (x.square().sum(-1) + 1e-12).sqrt()  # the slope of a norm at 0 is NaN",
    "softmax": "log_p = F.log_softmax(z, dim=-1)  # in place of log(softmax(z))",
    "sigmoid": "loss = F.binary_cross_entropy_with_logits(z, target)  # in place of log(sigmoid(z))",
}
"""Operation → how to keep it finite."""


def _why(cases: Sequence[Case]) -> str:
    if _broken_weights(cases):
        return (
            "A NaN or infinite weight makes every output NaN and never recovers by training. Take the layer from the "
            "last checkpoint that was finite, then look for the step that broke it (learning rate, overflow)."
        )
    return "One operation leaves the range of the dtype; a guard at that place keeps all that follows finite."


def _how(cases: Sequence[Case]) -> str:
    """Restoring code with ``earlier``, a state dict, and guards with the operation's inputs as given."""
    operations = dict.fromkeys(case.operation for case in cases)
    guards = [GUARDS[operation] for operation in operations if operation in GUARDS]
    return "\n".join([*map(_restore, _broken_weights(cases)), *guards]) or _LOOK


_LOOK = """\
assert torch.isfinite(x).all()  # is the data in range?
with torch.autograd.detect_anomaly():  # names the operation that makes the first NaN
    model(x).sum().backward()"""


def _broken_weights(cases: Sequence[Case]) -> list[str]:
    """Paths of the modules whose weights are broken."""
    return [module_path(layer) or "" for layer in chosen_weights([case for case in cases if case.code == "GC204"])]


def _restore(path: str) -> str:
    prefix = literal(f"{path}." if path else "")
    return (
        f"prefix = {prefix}  # earlier: the state dict of the last finite checkpoint\n"
        "kept = {key.removeprefix(prefix): value for key, value in earlier.items() if key.startswith(prefix)}\n"
        f"{submodule(path)}.load_state_dict(kept)"
    )


REMEDY = RemedyUnit(
    id="fix-values",
    title="Bring weights and values back into range",
    answers={"GC204": 1, "GC205": 1, "GC207": 1, "GC206": 2, "GC214": 1},
    cures=frozenset({"nonfinite"}),
    source="torch.autograd notes on undefined gradients; Goodfellow 2016, Deep learning, 4.1",
    why=_why,
    how=_how,
)
