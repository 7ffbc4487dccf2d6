"""Rows of vectors as they are read, and why one is bad."""

from __future__ import annotations

from typing import Any

import numpy as np

GOOD, NULL, WRONG_LENGTH, NOT_FINITE = range(4)
REASONS = {NULL: "null", WRONG_LENGTH: "wrong length", NOT_FINITE: "not finite"}
Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Vectors (n, length), and the reason of each (n,)."""


class SourceError(ValueError):
    """A file that holds no vectors, or not those that are asked for."""
