"""Remedies: what to do about a finding, as units of their own. Imports no torch.

One remedy, one file. `advise` gives those that fit the culprits, with code that names the user's layers.
"""

from __future__ import annotations

from gradcheck_cli.remedies.advise import advise, remedies_for, with_remedies

__all__ = ["advise", "remedies_for", "with_remedies"]
