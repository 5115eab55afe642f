"""``python -m gradcheck_cli`` and the console script ``gradcheck``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line on ``sys.argv`` and exit with a status of the contract."""
    try:
        from gradcheck_cli.cli.app import run
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
