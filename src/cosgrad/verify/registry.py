"""The checks: small named functions, each a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from cosgrad.verify.case import Case
from cosgrad.verify.findings import Finding, Verdict

Run = Callable[[Case], Iterator[Finding]]
Audience = Literal["all", "frontends"]


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    asks: str
    run: Run
    quantity: str
    """Asked of functions that return this; "" means either."""
    audience: Audience
    raising: Verdict
    """The verdict where the function raises."""


CHECKS: list[Check] = []


def check(
    name: str, asks: str, *, quantity: str = "", audience: Audience = "all", raising: Verdict = "fail"
) -> Callable[[Run], Run]:
    """Register a check.

    Args:
        name: Its line in the table.
        asks: What it asks for, in a few words.
        quantity: "similarity" or "distance" where it concerns only one.
        audience: "frontends" where it concerns the package's own functions only.
        raising: The verdict where the function raises: a fail for what everybody must be able to do, skipped
            for what a function may do without.
    """

    def register(run: Run) -> Run:
        CHECKS.append(Check(name, asks, run, quantity, audience, raising))
        return run

    return register


# In the order of the table.
GROUPS = ("values", "edges", "gradients", "second", "memory", "types", "transforms", "frontends")


def checks() -> list[Check]:
    """All of them, in the order of the table."""
    modules = [import_module(f"cosgrad.verify.checks.{group}").__name__ for group in GROUPS]
    return sorted(CHECKS, key=lambda c: modules.index(c.run.__module__))
