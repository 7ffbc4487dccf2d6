"""A job: two files, what is asked of their pairs, and the parts in which it is done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

import cosgrad.numpy
from cosgrad.score import outputs
from cosgrad.score.rows import NOT_FINITE, REASONS, SourceError
from cosgrad.score.sources import Source, absolute, source, split

Quantity = Literal["similarity", "distance"]
BadRows = dict[str, dict[str, list[int]]]  # side, reason, row numbers
PART_BYTES, PART_ROWS = 32 << 20, 1 << 18
State = tuple[int, int]


@dataclass(frozen=True)
class Job:
    """Two files, what is asked of their pairs, and how they are cut into parts.

    Attributes:
        left: `PATH` or `PATH:COLUMN`, absolute.
        right: The same.
        out: The file to write, absolute.
        quantity: What to compute.
        rows: Pairs in all.
        length: Of every vector.
        part_rows: Pairs in a part.
        dtype: Of the result.
        state: Size and time of change of both files: all parts must find them unchanged.
    """

    left: str
    right: str
    out: str
    quantity: Quantity
    rows: int
    length: int
    part_rows: int
    dtype: str
    state: tuple[State, State]

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.rows // self.part_rows)

    @property
    def folder(self) -> Path:
        """Where parts are kept until all are there."""
        return Path(f"{self.out}.parts")

    @property
    def bad_rows_table(self) -> Path:
        """The file that lists all bad rows, where there are any."""
        return Path(f"{self.out}.bad_rows.csv")

    @cached_property
    def description(self) -> str:
        """All of it as JSON."""
        return json.dumps(asdict(self))

    @cached_property
    def digest(self) -> str:
        """In the name of every part, so that no other job takes it for its own."""
        return hashlib.sha256(self.description.encode()).hexdigest()[:16]

    def values_of(self, part: int) -> Path:
        """Return the file of a part's values, which is there when the part is done."""
        return self.folder / f"{self.digest}-{part:08d}.npy"

    def bad_rows_of(self, part: int) -> Path:
        """Return the file that tells a part's bad rows."""
        return self.folder / f"{self.digest}-{part:08d}.json"

    def missing(self) -> list[int]:
        """Return the parts that are still to be done."""
        return [part for part in range(self.parts) if not self.values_of(part).exists()]

    def check_unchanged(self) -> None:
        """Refuse to go on with files that are not those of the plan."""
        for name, where, state in zip(("LEFT", "RIGHT"), (self.left, self.right), self.state, strict=True):
            if _state(where) != state:
                raise SourceError(f"{name} {where} has changed since the job began")


def _state(where: str) -> State:
    path, _ = split(where)
    if not path.is_file():
        raise SourceError(f"{path} is no file")
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def plan(left: str, right: str, out: Path, quantity: Quantity) -> Job:
    """Return the job of these files.

    Raises:
        SourceError: A file has no vectors, the two have not the same number of them and the same length, or
            the output cannot be where it should.
    """
    outputs.check(out)
    left, right, out = absolute(left), absolute(right), out.resolve()
    states = _state(left), _state(right)
    a, b = source(left), source(right)
    for name, where in ("LEFT", left), ("RIGHT", right):
        if out.exists() and out.samefile(split(where)[0]):
            raise SourceError(f"--out {out} is {name} itself")
    if a.rows != b.rows:
        raise SourceError(f"LEFT has {a.rows} rows and RIGHT {b.rows}, they must have the same number")
    lengths = {s.length for s in (a, b) if s.length is not None}
    if len(lengths) > 1:
        raise SourceError(f"LEFT has vectors of length {a.length}, RIGHT of {b.length}, they must be equal")
    length = max(lengths, default=0)
    try:
        dtype = cosgrad.numpy.cosine_similarity(np.ones((1, 1), a.dtype), np.ones((1, 1), b.dtype)).dtype
    except TypeError as error:
        raise SourceError(f"LEFT is of dtype {a.dtype}, RIGHT of {b.dtype}: {error}") from None
    bytes_of_pair = max(length, 1) * (a.dtype.itemsize + b.dtype.itemsize)
    part_rows = min(max(PART_BYTES // bytes_of_pair, 1), PART_ROWS)
    return Job(left, right, str(out), quantity, a.rows, length, part_rows, dtype.str, states)


class Worker:
    """Computes parts; keeps both files open, since reading on is cheaper than opening again."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def sources(self) -> tuple[Source, Source]:
        """Both files."""
        return source(self.job.left), source(self.job.right)

    def compute(self, part: int) -> BadRows:
        """Compute a part, write its values, and return its bad rows: side, reason, row numbers."""
        job = self.job
        start, stop = part * job.part_rows, min((part + 1) * job.part_rows, job.rows)
        sides = dict(zip(("left", "right"), self.sources, strict=True))
        vectors, bad, excluded = [], {}, np.zeros(stop - start, bool)
        for side, file in sides.items():
            rows, reasons = file.read(start, stop, job.length)
            if rows.dtype.kind == "f":
                reasons[(reasons == 0) & ~np.isfinite(rows).all(1)] = NOT_FINITE
            bad[side] = {
                name: (start + np.flatnonzero(reasons == code)).tolist()
                for code, name in REASONS.items()
                if (reasons == code).any()
            }
            excluded |= reasons != 0
            vectors.append(rows)
        function = getattr(cosgrad.numpy, f"cosine_{job.quantity}")
        values = function(*vectors).astype(np.dtype(job.dtype), copy=False)
        values[excluded] = np.nan
        job.check_unchanged()
        with outputs.becoming(job.bad_rows_of(part), job.folder) as beside:
            beside.write_text(json.dumps(bad))
        with outputs.becoming(job.values_of(part), job.folder) as beside:
            outputs.write(beside, ".npy", "", values.dtype, len(values), [values])
        return bad
