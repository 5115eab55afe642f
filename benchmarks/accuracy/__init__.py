"""A labelled set of networks, ill and healthy, and the runner that asks gradcheck about each.

The labels come from principle (closed-form theory, a fault put in on purpose, a rehearsal that ignores gradcheck), and were
written before the tool was run on the case. ``python benchmarks/accuracy/run.py --help`` says how to run it.
"""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = str(Path(__file__).resolve().parents[2] / "tests")
if _TESTS not in sys.path:  # the zoo of architectures lives there
    sys.path.append(_TESTS)
