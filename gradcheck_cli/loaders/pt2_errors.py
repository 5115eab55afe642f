"""The one error that the checkers of exported programs raise among themselves."""

from __future__ import annotations


class DoorError(Exception):
    """Something that is not on the checked list; goes on from 'this exported program cannot be checked: '."""
