"""Optimiser steps in memory, on the sample: what training would do to this model. `rehearse` steps, measures again, puts back."""

from gradcheck_cli.rehearsal.rehearse import rehearse

__all__ = ["rehearse"]
