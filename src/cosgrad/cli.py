"""The command `cosgrad`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="cosgrad",
    help="Cosine similarity, distance, losses and all their derivatives.",
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
        typer.Option(metavar="MODULE:FUNCTION", help="Check this function instead of the package."),
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(help="The framework of the target's arrays: numpy, torch, jax or tensorflow (torch)."),
    ] = None,
    frameworks: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Check these frontends, such as numpy,torch (all that are installed)."
        ),
    ] = None,
    quantity: Annotated[
        Literal["similarity", "distance"], typer.Option(help="The quantity that the target returns.")
    ] = "similarity",
    signature: Annotated[
        Literal["rows", "vectors", "columns"],
        typer.Option(help="(N, D), (N, D) -> (N,); (D,), (D,) -> (); or (n, 1), (n, 1) -> (1, 1)."),
    ] = "rows",
    strict: Annotated[bool, typer.Option("--strict", help="Count hazards as fails.")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Also check lengths up to a million, and the whole compiler.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of all inputs.")] = 0,
    timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="A call that takes longer counts as hanging.")
    ] = 120.0,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="Write every row as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write the tables as a page.")] = None,
) -> None:
    """Compare every installed frontend, or another function, with a reference implementation.

    The exit code is 0 if nothing failed, 1 if something failed, and 2 if the target cannot be checked.
    """
    from cosgrad.verify.command import Options, run

    raise typer.Exit(
        run(
            Options(
                target=target,
                framework=framework,
                frameworks=frameworks,
                quantity=quantity,
                signature=signature,
                strict=strict,
                thorough=thorough,
                seed=seed,
                timeout=timeout,
                json=json,
                html=html,
            )
        )
    )


@app.command()
def score(
    left: Annotated[str, typer.Argument(metavar="LEFT", help="PATH, or PATH:COLUMN of Parquet or Arrow.")],
    right: Annotated[
        str, typer.Argument(metavar="RIGHT", help="The second file, with the same number of rows.")
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", help="The output file: .npy, .parquet or .arrow.")],
    quantity: Annotated[
        Literal["similarity", "distance"], typer.Option(help="The quantity to compute for each pair.")
    ] = "similarity",
    engine: Annotated[
        Literal["local", "dask"],
        typer.Option(help="Compute in this process, or on the workers of a Dask cluster."),
    ] = "local",
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The address of the Dask cluster (default: start a local one)."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if there are bad rows.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard the parts of an interrupted run.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    dtype: Annotated[
        Literal["bfloat16"] | None,
        typer.Option(help="Read .npy files of dtype |V2 as bfloat16, which NumPy writes that way."),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=1, help="Give up a Dask cluster that does nothing for so long (30)."
        ),
    ] = None,
) -> None:
    """Compute one value for each pair of vectors in two files of any size.

    LEFT and RIGHT are .npy arrays of rows, or columns of lists in Parquet or Arrow IPC files. Memory is
    bounded. An interrupted run can be resumed. The output is written when it is complete. Bad rows (null, of
    another length, not finite) have the value NaN, and their numbers are listed.

    The exit code is 0 on success, 1 if --strict found bad rows, 2 if the files cannot be read or scored or
    the cluster cannot go on, 130 after Ctrl-C, and 143 after SIGTERM.
    """
    from cosgrad.score.command import Options, run

    options = Options(
        left=left,
        right=right,
        out=out,
        quantity=quantity,
        engine=engine,
        scheduler=scheduler,
        strict=strict,
        restart=restart,
        overwrite=overwrite,
        dtype=dtype,
        wait=wait,
    )
    raise typer.Exit(run(options))


@app.command()
def bench(
    rivals: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Measure only these libraries, such as torch,scipy (all that are installed).",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer sizes, points and rounds.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The seed of all inputs.")] = 0,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="Write every figure as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write a page with plots.")] = None,
) -> None:
    """Compare the accuracy, speed and memory of all installed cosine similarities.

    Libraries that are missing or fail are listed with the reason.
    """
    from cosgrad.bench.command import Options, run

    raise typer.Exit(
        run(
            Options(
                rivals=rivals,
                quick=quick,
                seed=seed,
                json=json,
                html=html,
            )
        )
    )


def main() -> None:
    """Run the command; Ctrl-C prints no traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
