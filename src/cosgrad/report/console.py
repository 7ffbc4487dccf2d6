"""What the commands have in common on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def consoles() -> tuple[Console, Console]:
    """The one for results and the one for complaints and progress; neither takes names for markup."""
    out, err = (Console(stderr=stderr, highlight=False, markup=False) for stderr in (False, True))
    return out, err


def refused(complaints: Console, error: Exception) -> int:
    """Say why nothing was done, and return the exit code of that."""
    complaints.print(Text.assemble(("error", "bold red"), f"  {error}"), soft_wrap=True)
    return 2
