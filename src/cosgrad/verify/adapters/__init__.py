"""One adapter per framework. An adapter is imported only when its framework is used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from cosgrad.verify.adapters.base import Function, Quantity, RaisedError, Signature

# To add a framework, add a module with `<Name>Function` and `<Name>Frontend` to this folder, and a line here.
ADAPTERS = {"numpy": "Numpy", "torch": "Torch", "jax": "Jax", "tensorflow": "Tensorflow"}


class UnavailableError(Exception):
    """The framework cannot be used here. The message gives the reason."""


def require(framework: str) -> None:
    """Raise `UnavailableError` unless the framework is known and installed. Import nothing."""
    if framework not in ADAPTERS:
        raise UnavailableError(f"unknown framework {framework!r}: verify knows {', '.join(ADAPTERS)}")
    if find_spec(framework) is None:
        raise UnavailableError(f'{framework} is not installed: pip install "cosgrad[{framework}]"')


def load(framework: str, own: bool = False) -> Any:
    """Return the adapter's module. With `own`, first import the package's frontend, which checks versions."""
    require(framework)
    if own:
        _imported(f"cosgrad.{framework}", f"cosgrad.{framework}")
    return _imported(f"cosgrad.verify.adapters.{framework}", framework)


def _imported(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except Exception as error:  # a broken installation may raise any exception
        raise UnavailableError(f"{name} cannot be imported: {RaisedError(error)}") from error


def installed() -> list[str]:
    """Return the frameworks whose frontend can be checked here."""
    return [name for name in ADAPTERS if find_spec(name) is not None]


def frontend(framework: str, quantity: Quantity, beat: Callable[[], None] = lambda: None) -> Function:
    """Return the package's own function in this framework."""
    made: Function = getattr(load(framework, own=True), ADAPTERS[framework] + "Frontend")(quantity, beat)
    return made


def stranger(
    framework: str,
    target: Any,
    quantity: Quantity,
    signature: Signature,
    beat: Callable[[], None] = lambda: None,
) -> Function:
    """Return the adapter of a user's function in this framework."""
    adapter = load(framework)
    if hasattr(adapter, "prepare"):
        target = adapter.prepare(target)
    made: Function = getattr(adapter, ADAPTERS[framework] + "Function")(target, quantity, signature, beat)
    return made
