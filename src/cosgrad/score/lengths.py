"""The length of the vectors of a job, if columns of lists do not prescribe it.

1. If one side has a fixed length (.npy, fixed-size lists), this is the length. The other side must have a row
   of this length.
2. If both sides are columns of lists, the length is the one that most pairs have on both sides. Null and
   empty rows do not count. If two lengths have equally many pairs, the greater one is used.
3. If no pair has the same length on both sides, the most frequent length of each side is used, and the two
   must be equal. If two lengths are equally frequent, the greater one is used. Empty rows count only if all
   rows are empty.

The whole column is read, unless the rest of it cannot change the result. So the result does not depend on the
order of reading or on how a file is cut into batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from cosgrad.score.rows import SourceError
from cosgrad.score.sources import Source

Lengths = np.ndarray[Any, np.dtype[np.int64]]


def common(left: Source, right: Source) -> int:
    """Return the length of the vectors of both sides, or 0 if no row has a length.

    Raises:
        SourceError: The two sides have vectors of different lengths.
    """
    if left.length is not None and right.length is not None:
        return _equal(left.length, right.length)
    if left.length is not None or right.length is not None:
        certain, other = (left, right) if left.length is not None else (right, left)
        length = int(certain.length or 0)
        found = _usual(other, length)
        if found is None or found == length:
            return length
        return _equal(length, found) if certain is left else _equal(found, length)
    return _of_lists(left, right)


def _equal(left: int, right: int) -> int:
    if left != right:
        raise SourceError(f"LEFT has vectors of length {left}, RIGHT of {right}, they must be equal")
    return left


def _usual(side: Source, wanted: int) -> int | None:
    """Return `wanted` if a row has this length, else the most frequent length, or None if all are null."""
    counts: Counter[int] = Counter()
    for lengths in side.lengths():
        if (lengths == wanted).any():
            return wanted
        _count(counts, lengths)
    return _most(counts)


def _of_lists(left: Source, right: Source) -> int:
    pairs, lefts, rights = (Counter[int]() for _ in range(3))
    for a, b in _together(left.lengths(), right.lengths()):
        _count(pairs, a[a == b])
        if 2 * max((n for length, n in pairs.items() if length > 0), default=0) > left.rows:
            break  # no other length can have more pairs
        _count(lefts, a)
        _count(rights, b)
    if any(length > 0 for length in pairs):
        return _most(pairs) or 0
    usual = [length for length in (_most(lefts), _most(rights)) if length]
    return _equal(usual[0], usual[-1]) if usual else 0


def _count(counts: Counter[int], lengths: Lengths) -> None:
    values, numbers = np.unique(lengths[lengths >= 0], return_counts=True)
    counts.update(dict(zip(values.tolist(), numbers.tolist(), strict=True)))


def _most(counts: Counter[int]) -> int | None:
    """Return the most frequent length. Of equally frequent lengths, return the greatest.

    The result is 0 only if all rows are empty.
    """
    return max(counts, key=lambda length: (length > 0, counts[length], length), default=None)


def _together(left: Iterator[Lengths], right: Iterator[Lengths]) -> Iterator[tuple[Lengths, Lengths]]:
    """Yield the lengths of both sides for the same rows."""
    a: Lengths | None = next(left, None)
    b: Lengths | None = next(right, None)
    while a is not None and b is not None:
        n = min(len(a), len(b))
        yield a[:n], b[:n]
        a = a[n:] if n < len(a) else next(left, None)
        b = b[n:] if n < len(b) else next(right, None)
