"""The type of rows of vectors, and the reasons why a row is bad."""

from __future__ import annotations

from typing import Any

import numpy as np

GOOD, NULL, WRONG_LENGTH, NOT_FINITE = range(4)
REASONS = {NULL: "null", WRONG_LENGTH: "wrong length", NOT_FINITE: "not finite"}
Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Vectors (n, length), and the reason code of each vector (n,)."""


class SourceError(ValueError):
    """A file has no vectors, or not the requested ones."""
