"""Terminal output that the commands share."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def consoles() -> tuple[Console, Console]:
    """Return the console for results and the console for errors and progress, both without markup."""
    out, err = (Console(stderr=stderr, highlight=False, markup=False) for stderr in (False, True))
    return out, err


def refused(complaints: Console, error: Exception) -> int:
    """Print why nothing was done and return exit code 2."""
    complaints.print(Text.assemble(("error", "bold red"), f"  {error}"), soft_wrap=True)
    return 2
