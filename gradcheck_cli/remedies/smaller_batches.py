"""Take smaller batches.

Helps where the loss is a sum over the batch; of little use otherwise.
"""

from __future__ import annotations

from gradcheck_cli.remedies.interface import RemedyUnit

REMEDY = RemedyUnit(
    id="smaller-batches",
    title="Take smaller batches",
    answers={"GC207": 5, "GC208": 4},
    source="neerc wiki, exploding and vanishing gradients",
    why=(
        "Where the loss is summed over the batch, its gradient grows with the batch size. With a mean loss a smaller "
        "batch only adds noise: then try the others first."
    ),
    how="loader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True)",
)
