"""The functions under test, this package's or a user's: finds them, tries a plain call, runs the checks."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from cosgrad.verify import adapters, inputs
from cosgrad.verify.adapters.base import (
    Function,
    NoGradientError,
    Quantity,
    RaisedError,
    Signature,
    UnsupportedError,
    WrongResultError,
)
from cosgrad.verify.case import Case
from cosgrad.verify.findings import UNEXPLAINED, Finding, Row, Verdict, summarize
from cosgrad.verify.registry import Check, checks


class TargetError(Exception):
    """The target cannot be tested. The message gives the reason in one sentence."""


@dataclass(frozen=True)
class Subject:
    """The function under test and its options, as given on the command line.

    Args:
        framework: The framework whose arrays the function takes.
        target: `module:function`, or None for the package's own frontend.
        quantity: The quantity that the target returns.
        signature: The shapes of the target's arguments.
        seed: The seed of all inputs.
        thorough: Whether to use longer vectors and the real compiler.
    """

    framework: str
    target: str | None = None
    quantity: Quantity = "similarity"
    signature: Signature = "rows"
    seed: int = 0
    thorough: bool = False

    @property
    def name(self) -> str:
        """The name in the table."""
        return self.target or self.framework


def find(target: str) -> Any:
    """Import `package.module:function`. The current directory is searched first, as with `python -m`."""
    module, colon, path = target.partition(":")
    if not (module and colon and path):
        raise TargetError(f"--target {target}: expected package.module:function")
    here = os.getcwd()  # noqa: PTH109
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise TargetError(f"--target {target}: cannot import {module}: {RaisedError(error)}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise TargetError(f"--target {target}: {module} has no {path}")
        found = getattr(found, part)
    if not callable(found):
        raise TargetError(f"--target {target}: {path} is {type(found).__name__}, not a function")
    return found


def preflight(f: Function, name: str, seed: int, every: bool) -> tuple[str, ...]:
    """Return the dtypes in which a plain call works.

    Raises:
        TargetError: The signature or the shape of the result is wrong; the call works in neither float64 nor
            float32; or `every` is set and the call raises in some dtype.
    """
    if (reason := f.bind()) is not None:
        raise TargetError(f"{name} has the wrong signature for two arrays: {reason}")
    works: list[str] = []
    first: RaisedError | None = None
    for dtype in f.dtypes():
        batch = inputs.ordinary(seed, 7, dtype, 5)
        try:
            f.value(batch.x, batch.y, dtype)
            works.append(dtype)
        except WrongResultError as error:
            raise TargetError(f"{name} {error} (--signature {f.signature})") from error
        except RaisedError as error:
            first = first or error
    if (every and first) or not {"float64", "float32"} & set(works):
        raise TargetError(f"{name} raises on a plain call: {first}") from first
    return tuple(works)


def cases(subject: Subject, beat: Callable[[], None]) -> list[Case]:
    """Return one case for each function under test."""
    if subject.target is None:
        functions = [adapters.frontend(subject.framework, q, beat) for q in ("similarity", "distance")]
    else:
        try:
            target = find(subject.target)
            f = adapters.stranger(subject.framework, target, subject.quantity, subject.signature, beat)
        except RaisedError as error:
            raise TargetError(f"{subject.target} raises when it is made: {error}") from error
        functions = [f]
    exact = subject.target is None
    return [
        Case(f, exact, preflight(f, subject.name, subject.seed, exact), subject.seed, subject.thorough)
        for f in functions
    ]


def _wanted(check: Check, case: Case, alone: bool) -> bool:
    if check.audience == "frontends" and not case.exact:
        return False
    if check.quantity:
        return check.quantity == case.f.quantity
    # A frontend's distance repeats the checks of values and edges, but not of transforms and derivatives.
    return (
        alone
        or case.f.quantity == "similarity"
        or check.run.__module__.rpartition(".")[2] in ("values", "edges")
    )


def _guarded(check: Check, case: Case) -> Iterator[Finding]:
    raising: Verdict = "fail" if case.exact else check.raising
    try:
        yield from check.run(case)
    except UnsupportedError as error:
        yield Finding("skipped", why=str(error))
    except RaisedError as error:
        yield Finding(raising, why=f"it raises {error}")
    except NoGradientError as error:
        yield Finding("fail", why=str(error))
    except WrongResultError as error:
        yield Finding(raising if raising == "skipped" else "fail", why=f"it {error}")


def _trace(row: Row, failed: list[str]) -> None:
    """Refer an unexplained failure to the first failed check, if there is an earlier one."""
    if row.verdict != "fail":
        return
    if failed and row.why.endswith(UNEXPLAINED):
        row.why = row.why.replace(UNEXPLAINED, f'see "{failed[0]}"')
    failed.append(row.check)


def judge(
    subject: Subject, beat: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, int, str, Row | None]]:
    """Run every check. Yield (done, total, name, None) before it and (done, total, name, row) after it."""
    warnings.simplefilter("ignore")
    examined = cases(subject, beat)
    wanted = [(c, [e for e in examined if _wanted(c, e, len(examined) == 1)]) for c in checks()]
    wanted = [(c, es) for c, es in wanted if es]
    failed: list[str] = []
    for k, (check, es) in enumerate(wanted):
        yield k, len(wanted), check.name, None
        start = time.monotonic()
        findings = [f for e in es for f in _guarded(check, e)]
        row = summarize(subject.name, check.name, check.asks, findings)
        _trace(row, failed)
        row.seconds = round(time.monotonic() - start, 3)
        yield k + 1, len(wanted), check.name, row
