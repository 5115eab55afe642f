"""A second examination, of files: 589 networks by another examiner, each handed over as a user would.

A case is a pickled module, a state dict with its ``--arch``, an entry point, a ``.pt2`` or an ``.onnx`` file (the older
exporter in training and in eval mode, the newer one), with its sample in an ``.npz``; 37 have none, and gradcheck makes one
up. `saved` writes them into a temporary folder, and the public ``gradcheck.diagnose`` is asked, as the examiner did. The
labelled set has every second case, in the examiner's order, so that it takes minutes.

Labels are proven in plain torch (``python benchmarks/accuracy/unseen_files/prove.py``), but for 22 that follow from how the
net is built (truth ``construction``). Left out are 19 that the examiner drew and could not prove, and 10 TorchScript files,
which need ``--trust``. Labels, culprits and layers are the examiner's and stay as they are: where gradcheck differs, gradcheck
is to be mended.

The first blind pass, as the examiner reported it, of 599 cases (TorchScript among them): no false alarm among 329 healthy
ones; 250 of 270 ill ones found, 248 with the exact verdict, 250 with an accepted culprit (anywhere among those named; here
the first one counts; ``round()`` and ``sign()`` were accepted after two answers were seen), 1104 of 1152 named layers right.
Ill ones, found and exact by kind: theory 47 and 46 of 49, injected 63 and 63 of 63, trained 22 and 22 of 22, recurrent 28
and 28 of 33, extra 35 and 34 of 41, near the edges 55 and 55 of 62; the 92 look-alikes are healthy, 2 were refused.

What differed: ten ``.pt2`` files could not be given data by name (mended); the comparison with ONNX Runtime refused one ONNX
file whose 40 layers amplify rounding (mended); five recurrent nets with a ratio of gradients between 1e-10 and 1e-8 were
called healthy; three parameters that nothing uses were noted and not called dead (mended where a whole layer or a raw
parameter never runs); one ELU net and one closed gate were called dead, not exploding and vanishing. The rest were the
examiner's own: ten TorchScript files without ``--trust``, two names with a minus, two targets out of range.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .. import cases as labelled
from . import (
    extra,
    extra_nets,
    injected,
    injected_paths,
    lookalikes,
    lookalikes_more,
    near,
    recurrent,
    theory,
    trained,
)
from .instruments import Asserted, Case, loss_of
from .saved import write

__all__ = ["ASKED", "CASES", "Case", "cases", "labelled_case"]

PARTS = (theory, injected, injected_paths, lookalikes, lookalikes_more, trained, recurrent, extra, extra_nets, near)
"""The files that fill their kind's list when they are imported, in this order."""

UNPROVEN = frozenset(
    (
        *("th_exp_selu_L60_n64_s2", "th_exp_selu_L60_n128_s2", "th_hea_gelu_L12_n128_s5", "th_van_leaky_L20_n128_s0p4"),
        *("in_kill48_mlp", "la_zerobranch_s", "ne_van_leaky_T4em08_11", "ne_res_hea_tanh_1", "ne_res_hea_relu_3"),
        *("ne_hea_relu_T2e01_36", "ne_hea_gelu_T2e01_38", "ne_hea_silu_T2e01_40", "ne_hea_leaky_T2e01_41"),
        *("ne_hea_relu_T6e01_42", "ne_hea_tanh_T6e01_43", "ne_hea_gelu_T6e01_44", "ne_hea_linear_T6e01_45"),
        *("ne_hea_silu_T6e01_46", "ne_hea_leaky_T6e01_47"),
    )
)
"""Drawn by the examiner too, and left out because their own proof failed."""

DRAWN: list[Case] = [
    case for kind in (theory, injected, lookalikes, trained, recurrent, extra, near) for case in kind.CASES
]
"""All that the examiner drew, in the examiner's order."""


def _proven(drawn: list[Case]) -> list[Case]:
    return [case for case in drawn if case.name not in UNPROVEN and case.form != "script"]


CASES = _proven(DRAWN)
"""All that may be asked."""

ASKED = _proven(DRAWN[::2])
"""Every second one, chosen before it was known how they are answered: the labelled set's share."""

WHY = {
    "theory": "a random net; what its signal does with depth is known from mean-field theory, or measured",
    "injected": "a healthy net in which one thing was broken, or only seems to be",
    "lookalikes": "it looks ill, and every weight gets its gradient and the loss falls",
    "trained": "a net that was really trained: to the end, half way, or to a failure whose cause was measured",
    "recurrent": "the gradient at the first step's input over that at the last step's says it",
    "extra": "a harder fault, a harder look-alike, or another format, dtype or target",
    "near": "the same questions close to the edges of what the verdicts mean",
}
"""Kind → why the label of its cases holds."""

BATCH_SIZE, BATCHES = 32, 4
"""How ``gradcheck diagnose`` cuts a sample by default."""

LOSSES = {"bce": F.binary_cross_entropy, "nll": F.nll_loss}
"""The losses that a case names."""


def cases() -> list[labelled.Case]:
    """Every second case of the examination as one of the labelled set, ``unseen-files/`` in front of its name."""
    return [labelled_case(case) for case in ASKED]


def labelled_case(case: Case) -> labelled.Case:
    """It as one of the labelled set."""
    return labelled.Case(
        name=f"unseen-files/{case.name}",
        truth="construction" if isinstance(case.proof, Asserted) else "proof",
        build=lambda: _problem(case),
        verdict=case.verdict,
        why=case.proof.why if isinstance(case.proof, Asserted) else WHY[case.kind],
        culprits=() if case.verdict == labelled.HEALTHY else case.culprits,
        layer_verdicts=case.layers,
    )


def _cut(x: Tensor) -> tuple[Tensor, ...]:
    return x.split(BATCH_SIZE)[:BATCHES]  # type: ignore[no-untyped-call,no-any-return]


def _problem(case: Case) -> labelled.Problem:
    """Its file for gradcheck; the module, and the sample of the proof, for who does not read files."""
    target, named = case.target(), case.options.get("loss")
    loss: Any = named if callable(named) else LOSSES.get(named or "", loss_of)
    guessed = "mse" if target is None or target.is_floating_point() else "cross-entropy"
    return labelled.Problem(
        case.make(),
        batches=list(zip(*(_cut(x) for x in case.inputs()), strict=True)),
        targets=None if target is None else _cut(target),
        loss=None if target is None else loss,
        loss_name="none" if target is None else "own" if callable(named) else named or guessed,
        lr=case.options.get("lr"),
        optimizer=case.options.get("optimizer", "sgd"),
        saved=partial(write, case),
    )
