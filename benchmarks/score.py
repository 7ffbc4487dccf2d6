"""`cosgrad score` on millions of pairs: time and memory, then killed half-way and resumed, with equal bytes.

python benchmarks/score.py [--pairs 2000000] [--length 128]
"""

from __future__ import annotations

import argparse
import filecmp
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cosgrad.score import job

GROUP = 100_000


def write(folder: Path, pairs: int, length: int) -> None:
    """Write two Parquet files of seeded vectors. The angle of a pair is about half a radian."""
    rng = np.random.default_rng(0)
    schema = pa.schema([("vector", pa.list_(pa.float32(), length))])
    left, right = (pq.ParquetWriter(folder / f"{side}.parquet", schema) for side in ("left", "right"))
    with left, right:
        for start in range(0, pairs, GROUP):
            x, noise = rng.standard_normal((2, min(GROUP, pairs - start), length), np.float32)
            for writer, rows in (left, x), (right, x + np.float32(0.5) * noise):
                column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), length)
                writer.write_batch(pa.record_batch([column], schema=schema))


def score(folder: Path, out: str) -> subprocess.Popen[bytes]:
    """Start the command `cosgrad score`."""
    program = "from cosgrad.cli import main; main()"
    arguments = ["score", "left.parquet", "right.parquet", "--out", out]
    return subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=folder)


def peak(child: subprocess.Popen[bytes]) -> float:
    """Wait for the command, assert that it succeeded, and return its peak memory in MB."""
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--length", type=int, default=128)
    arguments = parser.parse_args()
    pairs, length = arguments.pairs, arguments.length
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"writing {pairs:,} pairs of {length}")
        # In a separate process, because the peak memory of a child starts at that of its parent.
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(folder, pairs, length))
        writer.start()
        writer.join()
        start = time.perf_counter()
        memory = peak(score(folder, "whole.parquet"))
        print(f"{pairs / (time.perf_counter() - start):,.0f} pairs a second, in {memory:.0f} MB")

        parts = folder / "killed.parquet.parts"
        half = max(pairs * length * 8 // job.PART_BYTES // 2, 1)
        child = score(folder, "killed.parquet")
        while child.poll() is None and len(list(parts.glob("*.npy"))) < half:
            time.sleep(0.005)
        child.kill()
        child.wait()
        assert not (folder / "killed.parquet").exists()
        print(f"killed with {len(list(parts.glob('*.npy')))} parts done; the same command again")
        memory = peak(score(folder, "killed.parquet"))
        equal = filecmp.cmp(folder / "whole.parquet", folder / "killed.parquet", shallow=False)
        print(f"{'equal' if equal else 'DIFFERENT'} bytes, in {memory:.0f} MB")


if __name__ == "__main__":
    main()
