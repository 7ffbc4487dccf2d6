"""Peak memory and time of the symmetric contrastive loss against the number of rows.

`python benchmarks/curve.py` prints a table of forward+backward at D = 512, float32, from 2^10 rows to 2^16,
for the tiled loss, and for the dense formula up to the size that fits into memory. `--svg PATH` draws the
memory. Every number is measured in a separate process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cosgrad.report.figures import size

LENGTH = 512
DENSE_UP_TO = 1 << 14  # at this size each of its matrices has 1 GB


def measure(way: str, rows: int) -> None:
    """Print the peak above the memory of the idle process with its inputs, the total peak, and the time."""
    import torch

    from cosgrad.bench import memory
    from matrices import dense, tiled

    loss = {"tiled": tiled, "dense": dense}[way]
    generator = torch.Generator().manual_seed(rows)
    warm = torch.randn(2, 64, LENGTH, generator=generator, requires_grad=True)
    torch.autograd.grad(loss(warm[0], warm[1]), warm)
    x, y = (torch.randn(rows, LENGTH, generator=generator, requires_grad=True) for _ in range(2))
    before = memory.reset_peak()
    start = time.perf_counter()
    torch.autograd.backward(loss(x, y))
    seconds = time.perf_counter() - start
    peak = memory.peak()
    print(peak - before, peak, seconds)


def child(way: str, rows: int) -> tuple[int, int, float] | None:
    """Run `measure` in a separate process, and return its numbers, or None if it failed."""
    command = [sys.executable, __file__, "--measure", way, str(rows)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        return None
    extra, whole, seconds = run.stdout.split()[-3:]
    return int(extra), int(whole), float(seconds)


def draw(path: Path, found: dict[tuple[str, int], tuple[int, int, float] | None]) -> None:
    """Draw the extra memory against the number of rows, on logarithmic axes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for way, colour in (("dense", "tab:red"), ("tiled", "tab:blue")):
        points = [(rows, result[0] / 1e6) for (name, rows), result in found.items() if name == way and result]
        axes.plot(*zip(*points, strict=True), "o-", color=colour, label=way)
    inputs = [rows for name, rows in found if name == "tiled"]
    axes.plot(inputs, [2 * rows * LENGTH * 4 / 1e6 for rows in inputs], "k:", label="x and y themselves")
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="peak above the inputs [MB]")
    axes.set_xscale("log", base=2)
    axes.legend(frameon=False)
    figure.savefig(path)


def main() -> None:
    """Print the table, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--svg", metavar="PATH", type=Path, help="draw the curve there (needs matplotlib)")
    parser.add_argument("--up-to", metavar="N", type=int, default=1 << 16, help="the most rows")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(chosen.measure[0], int(chosen.measure[1]))
        return
    sizes = [1 << k for k in range(10, 17) if 1 << k <= chosen.up_to]
    ways = [
        (way, rows) for rows in sizes for way in ("tiled", "dense") if way == "tiled" or rows <= DENSE_UP_TO
    ]
    found: dict[tuple[str, int], tuple[int, int, float] | None] = {}
    console = Console()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=sum(rows**2 for _, rows in ways))
        for way, rows in ways:
            progress.update(task, description=f"{way}, {rows} rows")
            found[way, rows] = child(way, rows)
            progress.advance(task, rows**2)
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("rows", "x and y", "tiled", "whole process", "dense", "tiled", "dense"):
        table.add_column(heading, justify="right")
    for rows in sizes:
        tiled, dense = found["tiled", rows], found.get(("dense", rows))
        memories = (size(part) for part in (tiled and tiled[0], tiled and tiled[1], dense and dense[0]))
        times = (f"{result[2]:.2f} s" if result else "-" for result in (tiled, dense))
        table.add_row(str(rows), size(2 * rows * LENGTH * 4), *memories, *times)
    console.print(table)
    if chosen.svg:
        draw(chosen.svg, found)


if __name__ == "__main__":
    main()
