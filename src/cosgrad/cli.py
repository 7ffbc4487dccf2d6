"""The command `cosgrad`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="cosgrad",
    help="The cosine: similarity, distance, losses and all their derivatives.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"cosgrad {version('cosgrad')}")
        raise typer.Exit


@app.callback()
def _cosgrad(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def verify(
    target: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Judge this function, not the package itself."),
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(help="numpy, torch, jax or tensorflow: whose arrays the target takes (torch)."),
    ] = None,
    faces: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Check these faces, as numpy,torch; all that are installed (all)."
        ),
    ] = None,
    quantity: Annotated[
        Literal["similarity", "distance"], typer.Option(help="What the target returns.")
    ] = "similarity",
    signature: Annotated[
        Literal["rows", "vectors", "columns"],
        typer.Option(help="(N, D), (N, D) -> (N,); (D,), (D,) -> (); or (n, 1), (n, 1) -> (1, 1)."),
    ] = "rows",
    strict: Annotated[bool, typer.Option("--strict", help="Count hazards as fails.")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Also lengths up to a million, and the whole compiler.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of all inputs.")] = 0,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="A call that takes longer counts as hanging.")
    ] = 120.0,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="Write every row as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write the tables as a page.")] = None,
) -> None:
    """Check every installed face against an oracle; or judge somebody else's cosine.

    Exit 0 when all is well, 1 when something failed, 2 when the target cannot be judged.
    """
    from cosgrad.verify.command import Options, run

    raise typer.Exit(
        run(
            Options(
                target, framework, faces, quantity, signature, strict, thorough, seed, timeout, json, html
            )
        )
    )


@app.command()
def score(
    left: Annotated[str, typer.Argument(metavar="LEFT", help="PATH, or PATH:COLUMN of Parquet or Arrow.")],
    right: Annotated[str, typer.Argument(metavar="RIGHT", help="The same, with as many rows.")],
    out: Annotated[Path, typer.Option(metavar="PATH", help="Written here: .npy, .parquet or .arrow.")],
    quantity: Annotated[
        Literal["similarity", "distance"], typer.Option(help="What to compute of every pair.")
    ] = "similarity",
    engine: Annotated[
        Literal["local", "dask"], typer.Option(help="This process, or the workers of a Dask cluster.")
    ] = "local",
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of the Dask cluster (one of processes here)."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="A bad row is an error.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard the parts of an interrupted run.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    dtype: Annotated[
        Literal["bfloat16"] | None,
        typer.Option(help="How .npy files of dtype |V2 are read: NumPy writes bfloat16 so."),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=1, help="Give up a Dask cluster that does nothing for so long (30)."
        ),
    ] = None,
) -> None:
    """Score pairs of vectors in files of any size, one value a row.

    LEFT and RIGHT are .npy arrays of rows, or columns of lists in Parquet or Arrow IPC files. Memory is
    bounded; an interrupted run goes on where it was; the output appears when it is whole. The values of bad
    rows (null, of another length, not finite) are NaN, and they are told by number.

    Exit 0 when all is well, 1 when --strict found bad rows, 2 when the files do not fit or cannot be
    read, or the cluster cannot go on, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from cosgrad.score.command import Options, run

    options = Options(left, right, out, quantity, engine, scheduler, strict, restart, overwrite, dtype, wait)
    raise typer.Exit(run(options))


@app.command()
def bench(
    rivals: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Only these, as torch,scipy; all that are installed (all)."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer sizes, points and rounds.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of all inputs.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="Write every figure as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write a page with plots.")] = None,
) -> None:
    """Measure the accuracy, speed and memory of the installed cosine similarities beside this one.

    Libraries that are missing or fail are named with the reason.
    """
    from cosgrad.bench.command import Options, run

    raise typer.Exit(run(Options(rivals, quick, seed, json, html)))


def main() -> None:
    """Entry point; Ctrl-C leaves no traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
