"""A job in parts: each is a file of its own until all are there, so that nothing done is lost."""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

import cosgrad.numpy
from cosgrad.score import outputs
from cosgrad.score.sources import NOT_FINITE, REASONS, Source, SourceError, source, split

Quantity = Literal["similarity", "distance"]
BadRows = dict[str, dict[str, list[int]]]  # side, reason, row numbers
PART_BYTES = 32 << 20


@dataclass(frozen=True)
class Job:
    """Two files, what is asked of their pairs, and how they are cut into parts.

    Attributes:
        left: `PATH` or `PATH:COLUMN`.
        right: The same.
        out: The file to write.
        quantity: What to compute.
        rows: Pairs in all.
        length: Of every vector.
        part_rows: Pairs in a part.
        dtype: Of the result.
        state: Size and time of change of both files: a resumed job must find them unchanged.
    """

    left: str
    right: str
    out: str
    quantity: Quantity
    rows: int
    length: int
    part_rows: int
    dtype: str
    state: tuple[tuple[int, int], ...]

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.rows // self.part_rows)

    @property
    def folder(self) -> Path:
        """Where parts are kept until all are there."""
        return Path(f"{self.out}.parts")

    def values_of(self, part: int) -> Path:
        """Return the file of a part's values, which is there when the part is done."""
        return self.folder / f"{part:08d}.npy"

    def bad_rows_of(self, part: int) -> Path:
        """Return the file that tells a part's bad rows."""
        return self.folder / f"{part:08d}.json"

    def missing(self) -> list[int]:
        """Return the parts that are still to be done."""
        return [part for part in range(self.parts) if not self.values_of(part).exists()]


def plan(left: str, right: str, out: Path, quantity: Quantity) -> Job:
    """Return the job of these files.

    Raises:
        SourceError: A file has no vectors, or the two have not the same number of them and the same length.
    """
    outputs.check_output(out)
    sources = source(left), source(right)
    a, b = sources
    if a.rows != b.rows:
        raise SourceError(f"LEFT has {a.rows} rows and RIGHT {b.rows}, they must have the same number")
    lengths = {s.length for s in sources if s.length is not None}
    if len(lengths) > 1:
        raise SourceError(f"LEFT has vectors of length {a.length}, RIGHT of {b.length}, they must be equal")
    length = max(lengths, default=0)
    try:
        dtype = cosgrad.numpy.cosine_similarity(np.ones((1, 1), a.dtype), np.ones((1, 1), b.dtype)).dtype
    except TypeError as error:
        raise SourceError(f"LEFT is of dtype {a.dtype}, RIGHT of {b.dtype}: {error}") from None
    bytes_of_pair = max(length, 1) * (a.dtype.itemsize + b.dtype.itemsize)
    state = []
    for where in (left, right):
        stat = split(where)[0].stat()
        state.append((stat.st_size, stat.st_mtime_ns))
    part_rows = max(PART_BYTES // bytes_of_pair, 1)
    return Job(left, right, str(out), quantity, a.rows, length, part_rows, dtype.str, tuple(state))


@contextmanager
def opened(job: Job, *, restart: bool) -> Iterator[None]:
    """Keep the job's folder for this process; parts that are there must be this job's.

    Raises:
        SourceError: Another process is at it, or the parts are of another job.
    """
    if restart:
        shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(exist_ok=True)
    description = job.folder / "job.json"
    with (job.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SourceError(f"another process is writing {job.out}") from None
        ours = json.loads(json.dumps(asdict(job)))
        if description.exists():
            theirs = json.loads(description.read_text())
            differing = [key for key in ours if ours[key] != theirs.get(key)]
            if differing:
                raise SourceError(
                    f"{job.folder} has parts of a job with other {', '.join(differing)}: "
                    "finish that one, or give --restart to discard them"
                )
        else:
            with outputs.becoming(description, job.folder) as beside:
                beside.write_text(json.dumps(ours))
        yield


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
        with outputs.becoming(job.bad_rows_of(part), job.folder) as beside:
            beside.write_text(json.dumps(bad))
        with outputs.becoming(job.values_of(part), job.folder) as beside, beside.open("wb") as written:
            np.save(written, values)
        return bad


def bad_rows(job: Job) -> Iterator[BadRows]:
    """Yield the bad rows of every part that is done and has any."""
    for part in range(job.parts):
        path = job.bad_rows_of(part)
        if path.exists() and any((bad := json.loads(path.read_text())).values()):
            yield bad


def finish(job: Job) -> None:
    """Write the output and the list of bad rows from the parts, and remove these."""
    table, out = bad_rows_table(job), Path(job.out)
    if next(bad_rows(job), None) is None:
        table.unlink(missing_ok=True)
    else:
        with outputs.becoming(table, job.folder) as beside, beside.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("side", "row", "reason"))
            for bad in bad_rows(job):
                for side, reasons in bad.items():
                    writer.writerows((side, row, why) for why, rows in reasons.items() for row in rows)
    values = (np.load(job.values_of(part)) for part in range(job.parts))
    with outputs.becoming(out, job.folder) as beside:
        outputs.write(beside, out.suffix, job.quantity, np.dtype(job.dtype), job.rows, values)
    shutil.rmtree(job.folder)


def bad_rows_table(job: Job) -> Path:
    """Return the file that lists all bad rows, where there are any."""
    return Path(f"{job.out}.bad_rows.csv")
