"""One adapter per framework, imported when that framework is asked for and not before."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cosgrad.verify.adapters.base import Function, Quantity, Signature

# To add a framework: a module beside this one with `<Name>Function` and `<Name>Face`, and a line here.
ADAPTERS = {"numpy": "Numpy", "torch": "Torch"}
LATER = ("jax", "tensorflow")


class UnavailableError(Exception):
    """A framework that cannot be asked for here, with the reason."""


def load(framework: str) -> Any:
    """The adapter's module."""
    if framework in LATER:
        raise UnavailableError(f"verify has no {framework} adapter yet: it knows {' and '.join(ADAPTERS)}")
    if framework not in ADAPTERS:
        raise UnavailableError(f"unknown framework {framework!r}: verify knows {' and '.join(ADAPTERS)}")
    if find_spec(framework) is None:
        raise UnavailableError(f"{framework} is not installed")
    return import_module(f"cosgrad.verify.adapters.{framework}")


def require(framework: str) -> None:
    """Raise `UnavailableError` unless the framework can be asked for; imports nothing."""
    if framework not in ADAPTERS or find_spec(framework) is None:
        load(framework)


def installed() -> list[str]:
    """The frameworks whose face can be checked here."""
    return [name for name in ADAPTERS if find_spec(name) is not None]


def face(framework: str, quantity: Quantity, beat: Callable[[], None] = lambda: None) -> Function:
    """The package's own function in this framework."""
    made: Function = getattr(load(framework), ADAPTERS[framework] + "Face")(quantity, beat)
    return made


def stranger(
    framework: str,
    target: Any,
    quantity: Quantity,
    signature: Signature,
    beat: Callable[[], None] = lambda: None,
) -> Function:
    """Somebody else's function in this framework."""
    adapter = load(framework)
    if hasattr(adapter, "prepare"):
        target = adapter.prepare(target)
    made: Function = getattr(adapter, ADAPTERS[framework] + "Function")(target, quantity, signature, beat)
    return made
