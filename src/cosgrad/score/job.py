"""A job: two files, the quantity to compute for their pairs, and the computation of its parts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

import cosgrad.numpy
from cosgrad.score import lengths, outputs
from cosgrad.score.failures import reading, writing
from cosgrad.score.places import absolute, checked, split
from cosgrad.score.rows import GOOD, NOT_FINITE, REASONS, SourceError
from cosgrad.score.sources import Source, source

Quantity = Literal["similarity", "distance"]
BadRows = dict[str, dict[str, list[int]]]  # side, reason, row numbers
ZeroVectors = dict[str, tuple[int, list[int]]]  # side, the number of them, the first row numbers
OF_ZERO = {"similarity": 0, "distance": 1}  # the value of a pair with a zero vector
FIRST = 10  # row numbers of zero vectors that are kept for each part
PART_BYTES, PART_ROWS = 32 << 20, 1 << 18
State = tuple[int, int]


@dataclass(frozen=True)
class Job:
    """Two files, the quantity to compute for their pairs, and the size of the parts.

    Attributes:
        left: `PATH` or `PATH:COLUMN` of the first file, absolute.
        right: `PATH` or `PATH:COLUMN` of the second file, absolute.
        out: The file to write, absolute.
        quantity: The quantity to compute.
        rows: The number of all pairs.
        length: The length of every vector.
        part_rows: The number of pairs in a part.
        dtype: The dtype of the result.
        raw: "bfloat16" if the elements of .npy files with the unnamed two-byte dtype are bfloat16.
        state: The size and the time of change of both files. They must be the same for all parts.
    """

    left: str
    right: str
    out: str
    quantity: Quantity
    rows: int
    length: int
    part_rows: int
    dtype: str
    raw: Literal["bfloat16"] | None
    state: tuple[State, State]

    @property
    def parts(self) -> int:
        """The number of parts."""
        return -(-self.rows // self.part_rows)

    @property
    def folder(self) -> Path:
        """The folder of the parts, until all are computed."""
        return Path(f"{self.out}.parts")

    @property
    def bad_rows_table(self) -> Path:
        """The file that lists all bad rows. It is written only if there are any."""
        return Path(f"{self.out}.bad_rows.csv")

    @cached_property
    def description(self) -> str:
        """All attributes as JSON."""
        return json.dumps(asdict(self))

    @cached_property
    def digest(self) -> str:
        """A digest of the description. It is in the name of every part, so that jobs cannot mix parts."""
        return hashlib.sha256(self.description.encode()).hexdigest()[:16]

    def values_of(self, part: int) -> Path:
        """Return the file of a part's values. It exists if and only if the part is finished."""
        return self.folder / f"{self.digest}-{part:08d}.npy"

    def bad_rows_of(self, part: int) -> Path:
        """Return the file that lists a part's bad rows, and its zero vectors."""
        return self.folder / f"{self.digest}-{part:08d}.json"

    @property
    def places(self) -> tuple[Path, Path, Path]:
        """The two files, and the folder of the parts."""
        return split(self.left)[0], split(self.right)[0], self.folder

    def missing(self) -> list[int]:
        """Return the parts that are not finished."""
        with reading(self.folder):
            return [part for part in range(self.parts) if not self.values_of(part).exists()]

    def check_unchanged(self) -> None:
        """Raise an error if a file has changed since the plan."""
        for name, where, state in zip(("LEFT", "RIGHT"), (self.left, self.right), self.state, strict=True):
            if _state(where) != state:
                raise SourceError(f"{name} {where} has changed since the job began")


def _state(where: str) -> State:
    with reading(where):
        stat = checked(where).stat()
    return stat.st_size, stat.st_mtime_ns


def plan(left: str, right: str, out: Path, quantity: Quantity, raw: Literal["bfloat16"] | None = None) -> Job:
    """Return the job of these files.

    `raw` is the dtype of the elements of .npy files with the unnamed two-byte dtype.

    Raises:
        SourceError: A file has no vectors, the files have different numbers or lengths of vectors, or the
            output file cannot be written.
    """
    with writing(f"--out {out}"):
        outputs.check(out)
    for where in left, right:
        with reading(where):
            checked(where)
    left, right, out = absolute(left), absolute(right), out.resolve()
    outputs.check(out)  # a symbolic link may lead to another folder, or to a file with another suffix
    for name, where in ("LEFT", left), ("RIGHT", right):
        if out.exists() and out.samefile(split(where)[0]):
            raise SourceError(f"--out {out} is {name} itself")
    states = _state(left), _state(right)
    a, b = source(left, raw), source(right, raw)
    if raw is not None and not (a.raw or b.raw):
        raise SourceError(
            f"--dtype {raw} is for .npy files of dtype |V2, but LEFT is of {a.dtype} and RIGHT of {b.dtype}; "
            "leave the option out"
        )
    if a.rows != b.rows:
        one = " (to compare one vector with all rows, repeat it, for instance with np.repeat)"
        raise SourceError(
            f"LEFT has {a.rows} rows and RIGHT {b.rows}, they must have the same number"
            f"{one if 1 in (a.rows, b.rows) else ''}"
        )
    length = lengths.common(a, b)
    try:
        dtype = cosgrad.numpy.cosine_similarity(np.ones((1, 1), a.dtype), np.ones((1, 1), b.dtype)).dtype
    except TypeError as error:
        raise SourceError(f"LEFT is of dtype {a.dtype}, RIGHT of {b.dtype}: {error}") from None
    bytes_of_pair = max(length, 1) * (a.dtype.itemsize + b.dtype.itemsize)
    part_rows = min(max(PART_BYTES // bytes_of_pair, 1), PART_ROWS)
    return Job(left, right, str(out), quantity, a.rows, length, part_rows, dtype.str, raw, states)


class Worker:
    """Computes parts. It keeps both files open, because this is faster than opening them for every part."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def sources(self) -> tuple[Source, Source]:
        """Both opened files."""
        return source(self.job.left, self.job.raw), source(self.job.right, self.job.raw)

    def compute(self, part: int) -> BadRows:
        """Compute a part, write its values, and return its bad rows: side, reason, row numbers."""
        job = self.job
        start, stop = part * job.part_rows, min((part + 1) * job.part_rows, job.rows)
        job.check_unchanged()  # if a mapped file became shorter, the process would be killed
        try:
            values, bad, zeros = self._scored(start, stop)
        except MemoryError:
            raise SourceError(
                f"{job.left} and {job.right}: not enough memory to score rows {start} to {stop}"
            ) from None
        job.check_unchanged()
        with outputs.becoming(job.bad_rows_of(part), job.folder) as beside:
            beside.write_text(json.dumps({"bad": bad, "zeros": zeros}))
        with outputs.becoming(job.values_of(part), job.folder) as beside:
            outputs.write(beside, ".npy", "", values.dtype, len(values), [values])
        return bad

    def _scored(self, start: int, stop: int) -> tuple[np.ndarray[Any, Any], BadRows, ZeroVectors]:
        """Return the values of the rows [start, stop), the bad rows, and the zero vectors."""
        job = self.job
        sides = dict(zip(("left", "right"), self.sources, strict=True))
        vectors, bad, why = {}, {}, {}
        for side, file in sides.items():
            rows, reasons = file.read(start, stop, job.length)
            if rows.dtype.kind == "f":
                reasons[(reasons == GOOD) & ~np.isfinite(rows).all(1)] = NOT_FINITE
            bad[side] = {
                name: (start + np.flatnonzero(reasons == code)).tolist()
                for code, name in REASONS.items()
                if (reasons == code).any()
            }
            vectors[side], why[side] = rows, reasons
        excluded = (why["left"] != GOOD) | (why["right"] != GOOD)
        function = getattr(cosgrad.numpy, f"cosine_{job.quantity}")
        values = function(*vectors.values()).astype(np.dtype(job.dtype), copy=False)
        suspects = np.flatnonzero(excluded | (values == OF_ZERO[job.quantity]))
        values[excluded] = np.nan
        zeros = {}
        for side, rows in vectors.items():
            good = suspects[why[side][suspects] == GOOD]
            found = good[~rows[good].any(1)]
            zeros[side] = len(found), (start + found[:FIRST]).tolist()
        return values, bad, zeros
