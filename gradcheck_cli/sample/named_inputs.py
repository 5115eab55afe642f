"""What an input is likely to be by its name in forward's signature: masks, lengths, time steps, hidden states."""

from __future__ import annotations

from torch import nn

from gradcheck_cli.sample.leaf_inputs import LENGTHS, Surroundings
from gradcheck_cli.sample.noise import Noise

_TIMES = frozenset({"t", "time", "times", "timestep", "timesteps", "step", "steps", "noise_level", "sigma"})
_STATES = frozenset({"h", "h0", "hx", "hidden", "hidden_state", "state", "hid"})


def inputs_named(name: str, root: nn.Module, around: Surroundings) -> list[Noise]:
    """Return the candidates that the name suggests; empty for a name that says nothing."""
    length, lower = LENGTHS[0], name.lower()
    if "mask" in lower:
        square = Noise((length, length), None, fill=0.0)
        return [Noise((length,), around.batch_dim, fill=1), square, Noise((length,), 0, fill=False)]
    if "len" in lower:
        return [Noise((), fill=length)]
    if lower in _TIMES:
        return [Noise((), high=10), Noise(()), Noise((1,))]
    return _states(root) if lower in _STATES else []


def _states(root: nn.Module) -> list[Noise]:
    found: list[Noise] = []
    for part in root.modules():
        if isinstance(part, nn.RNNBase):
            layers = part.num_layers * (2 if part.bidirectional else 1)
            found.append(Noise((layers, part.hidden_size), 1))
        elif isinstance(part, nn.RNNCellBase):
            found.append(Noise((part.hidden_size,)))
    return found
