"""Keep gradients inside the range of the dtype.

Scale the loss for float16, or use bfloat16, which has the range of float32.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit


def _fits(case: Case) -> bool:
    """What overflows or underflows because of the dtype, or may do so."""
    return case.code == "GC105" or "16" in (case.fact("dtype") or "16")


def _why(cases: Sequence[Case]) -> str:
    if _underflows(cases):
        return (
            "float16 has nothing between 0 and 6e-8, so small gradients become 0 there. A scaler multiplies the loss "
            "before backward and divides the gradients before the step."
        )
    return "float16 ends at 65504; bfloat16 has the range of float32 at half the memory, with fewer digits."


def _how(cases: Sequence[Case]) -> str:
    """Code with ``loss`` and ``optimizer`` as given."""
    if _underflows(cases):
        return (
            "device = next(model.parameters()).device.type\n"
            "scaler = torch.amp.GradScaler(device)  # once, before training; weights in float32 under autocast\n"
            "scaler.scale(loss).backward()\n"
            "scaler.step(optimizer)\n"
            "scaler.update()"
        )
    return "model.to(torch.bfloat16)  # or keep float32 weights and use torch.autocast(device, torch.bfloat16)"


def _underflows(cases: Sequence[Case]) -> bool:
    return any(case.code == "GC105" for case in cases)


REMEDY = RemedyUnit(
    id="loss-scaling",
    title="Scale the loss, or use bfloat16",
    answers={"GC105": 1, "GC206": 1, "GC205": 2, "GC212": 1},
    cures=frozenset({"dtype"}),
    source="Micikevicius 2018, Mixed precision training",
    fits=_fits,
    why=_why,
    how=_how,
)
