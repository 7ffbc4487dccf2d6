"""The register of the checks. Each check is a small named function and has one line in the table."""

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
    """The check is for functions that return this quantity; "" means both."""
    audience: Audience
    raising: Verdict
    """The verdict if the function raises."""


CHECKS: list[Check] = []


def check(
    name: str, asks: str, *, quantity: str = "", audience: Audience = "all", raising: Verdict = "fail"
) -> Callable[[Run], Run]:
    """Register a check.

    Args:
        name: The name in the table.
        asks: The requirement in a few words.
        quantity: "similarity" or "distance" if the check is for only one of them.
        audience: "frontends" if the check is for the package's own functions only.
        raising: The verdict if the function raises: "fail" if every function must support the call, "skipped"
            if support is optional.
    """

    def register(run: Run) -> Run:
        CHECKS.append(Check(name, asks, run, quantity, audience, raising))
        return run

    return register


# The modules of checks, in the order of the table.
GROUPS = ("values", "edges", "gradients", "second", "memory", "types", "transforms", "frontends")


def checks() -> list[Check]:
    """Return all checks, in the order of the table."""
    modules = [import_module(f"cosgrad.verify.checks.{group}").__name__ for group in GROUPS]
    return sorted(CHECKS, key=lambda c: modules.index(c.run.__module__))
