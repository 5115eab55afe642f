"""Builds the sample models from their seeds: ``python sample_models/build.py [--only NAME] [--out DIR]``."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from digits_networks import DIGITS_NETWORKS
from recurrent_models import write_data
from sequence_networks import SEQUENCE_NETWORKS
from toy_networks import TOY_NETWORKS

NETWORKS = {**TOY_NETWORKS, **SEQUENCE_NETWORKS, **DIGITS_NETWORKS}


def main() -> None:
    """Write the networks asked for, all without ``--only``, each with its data beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(NETWORKS), help="may be given several times")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the order of sums, so the bytes, depend on it
    for name in arguments.only or NETWORKS:
        path = NETWORKS[name]().write(name, arguments.out)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")
    if not arguments.only:
        write_data(arguments.out)


if __name__ == "__main__":
    main()
