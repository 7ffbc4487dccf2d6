"""Memory and messages of each rank for a contrastive loss over a process group.

`python benchmarks/ranks.py` prints two tables for float32 and D = 512. The first has memory and messages per
rank for growing numbers of rows and ranks. They are computed by a formula, for the ring and for a gathered
batch, where every rank has all vectors and its rows of the matrix. The second table has numbers that are
measured in local processes, on gloo, and those of the formula.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

LENGTH = 512
FLOAT, WIDE = 4, 8
TILES = 2 * 2048 * 2048 * FLOAT


def ring(rows: int, ranks: int) -> tuple[float, float, int]:
    """Return a rank's bytes of memory, bytes sent and messages: the symmetric loss with all gradients."""
    own = rows / ranks
    vectors = own * LENGTH * FLOAT
    # The seven are u and its gradient; a block of y, its unit vectors and its gradient; the next block and
    # its gradient.
    memory = 7 * vectors + TILES
    state, terms = 2 * own * WIDE, 2 * own * FLOAT
    if ranks == 1:
        return 5 * vectors + TILES, 0, 0
    first = (ranks - 1) * vectors + ranks * state
    second = (ranks - 1) * (vectors + terms) + ranks * vectors
    return memory, first + second, (ranks - 1) + ranks + 2 * (ranks - 1) + ranks


def gathered(rows: int, ranks: int) -> tuple[float, float]:
    """Return bytes of memory and bytes received of a rank that gathers all vectors for its rows."""
    own = rows / ranks
    vectors, matrices = 2 * rows * LENGTH * FLOAT, 2 * own * rows * FLOAT
    # The vectors and their gradients; the logits, and the softmax of them that autograd keeps.
    return 2 * vectors + 2 * matrices, 2 * vectors * (ranks - 1) / ranks


def measure(rank: int, ranks: int, rows: int, rendezvous: str) -> None:
    """Run one rank, and print its bytes and messages sent, its peak memory and its seconds in JSON."""
    import torch
    import torch.distributed as dist

    import cosgrad.torch
    from cosgrad.bench import memory
    from cosgrad.torch._contrastive.ring import Ring

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=ranks)
    sent = [0, 0]
    counted: Any = Ring
    pass_on = counted._pass_on

    def counting(self: Ring, tensors: Sequence[Any], *rest: Any) -> Any:
        sent[0] += sum(t.nbytes for t in tensors)
        sent[1] += len(tensors)
        return pass_on(self, tensors, *rest)

    generator = torch.Generator().manual_seed(rank)
    x, y = (torch.randn(rows // ranks, LENGTH, generator=generator, requires_grad=True) for _ in range(2))
    group = dist.group.WORLD
    torch.autograd.backward(cosgrad.torch.contrastive_loss(x[:8], y[:8], group=group))
    x.grad = y.grad = None
    counted._pass_on = counting
    before, start = memory.reset_peak(), time.perf_counter()
    loss = cosgrad.torch.contrastive_loss(x, y, group=group)
    peak, seconds = memory.peak() - before, time.perf_counter() - start
    torch.autograd.backward(loss)
    print(json.dumps({"memory": peak, "bytes": sent[0], "messages": sent[1], "seconds": seconds}))
    dist.destroy_process_group()


def counted(rows: int, ranks: int) -> dict[str, float]:
    """Run the loss on `ranks` processes, and return the largest of each number that they report."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(ranks), str(rows), str(Path(folder) / "rendezvous")]
        children = [
            subprocess.Popen(
                [sys.executable, __file__, "--measure", str(rank), *arguments],
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(ranks)
        ]
        reports = [json.loads(child.communicate()[0].splitlines()[-1]) for child in children]
    return {key: max(report[key] for report in reports) for key in reports[0]}


def readable(count: float) -> str:
    """Return a number of bytes as text, with a suitable unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def by_formula() -> Iterator[tuple[str, ...]]:
    """Yield the rows of the computed table."""
    for rows in (8192, 65536, 1_000_000):
        for ranks in (1, 8, 64, 1024):
            memory, traffic, messages = ring(rows, ranks)
            other, moved = gathered(rows, ranks)
            sizes = (readable(part) for part in (memory, traffic))
            yield f"{rows:,}", str(ranks), *sizes, str(messages), readable(other), readable(moved)


def here(rows: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the measured table."""
    for ranks in (1, 2, 4):
        memory, traffic, messages = ring(rows, ranks)
        found = counted(rows, ranks)
        yield (
            f"{rows:,}",
            str(ranks),
            f"{readable(found['memory'])} ({readable(memory)})",
            f"{readable(found['bytes'])} ({readable(traffic)})",
            f"{found['messages']:.0f} ({messages})",
            f"{found['seconds']:.1f} s",
        )


def table(title: str, headings: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Table:
    """Return a table of right-aligned columns."""
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in rows:
        shown.add_row(*row)
    return shown


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=8192, help="rows of the batch that is counted here")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        rank, ranks, rows = map(int, chosen.measure[:3])
        measure(rank, ranks, rows, chosen.measure[3])
        return
    console = Console()
    common = ("rows", "ranks", "memory", "sent", "messages")
    gathering = ("gathered: memory", "received")
    console.print(table("per rank, computed", common + gathering, by_formula()))
    console.print(table("per rank, counted here (computed)", (*common, "time"), here(chosen.rows)))


if __name__ == "__main__":
    main()
