"""Clip gradients by their norm, which keeps their direction.

Bounds the size of a step, whatever the gradient's; the signal still grows, so it treats the symptom.
"""

from __future__ import annotations

from gradcheck_cli.remedies.interface import RemedyUnit

REMEDY = RemedyUnit(
    id="clip-gradients",
    title="Clip gradients by norm",
    answers={
        "GC201": 5,
        "GC203": 2,
        "GC206": 3,
        "GC207": 3,
        "GC208": 2,
        "GC209": 2,
        "GC210": 2,
        "GC211": 2,
        "GC213": 2,
    },
    source="Pascanu, Mikolov, Bengio 2013, On the difficulty of training recurrent neural networks",
    why=(
        "It keeps the direction of the step and bounds its size, so that one steep place does not throw the weights "
        "away. It does not stop the signal from growing: where a cause is known, remove that first."
    ),
    how=(
        "loss.backward()\n"
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)  # between backward() and step()\n"
        "optimizer.step()"
    ),
)
