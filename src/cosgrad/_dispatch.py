"""Dispatch by type: finds the frontend that serves the arguments of a call.

A framework that the caller has not imported is not imported. `torch.compile` traces everything here: each
import is a statement in a function, and frameworks are compared by identity.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


def _torch() -> Any:
    import cosgrad.torch as frontend

    return frontend


def _jax() -> Any:
    import cosgrad.jax as frontend

    return frontend


def _tensorflow() -> Any:
    import cosgrad.tensorflow as frontend

    return frontend


def _numpy() -> Any:
    import cosgrad.numpy as frontend

    return frontend


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework, the import of its frontend, and the frontend's names for an axis and for keeping it."""

    name: str
    frontend: Callable[[], Any]
    axis: str = "axis"
    keep: str = "keepdims"


_TORCH: Final = Framework("torch", _torch, "dim", "keepdim")
_JAX: Final = Framework("jax", _jax)
_TENSORFLOW: Final = Framework("tensorflow", _tensorflow)
_NUMPY: Final = Framework("numpy", _numpy)


def framework(x: object) -> Framework:
    """Return the framework whose array x is, or NumPy: it takes everything that it can make an array of.

    A framework that is being imported may lack its array types still.
    """
    modules = sys.modules
    torch = modules.get("torch")
    if torch is not None and isinstance(x, getattr(torch, "Tensor", ())):
        return _TORCH
    jax = modules.get("jax")
    if jax is not None and isinstance(x, getattr(jax, "Array", ())):
        return _JAX
    tf = modules.get("tensorflow")
    if tf is not None and isinstance(x, (getattr(tf, "Tensor", ()), getattr(tf, "Variable", ()))):
        return _TENSORFLOW
    return _NUMPY


def _is_numpy(x: object) -> bool:
    return type(x).__module__.partition(".")[0] == "numpy"


def common(**arguments: Any) -> Framework:
    """Return the one framework of all arguments. A number or a list is an array of the others' framework.

    Raises:
        TypeError: The arguments are arrays of two frameworks.
    """
    found = _NUMPY
    for x in arguments.values():
        one = framework(x)
        if one is not _NUMPY:
            if found is not _NUMPY and one is not found:
                raise _two_frameworks(arguments)
            found = one
    if found is not _NUMPY:
        for x in arguments.values():
            if framework(x) is _NUMPY and _is_numpy(x):
                raise _two_frameworks(arguments)
    return found


def _two_frameworks(arguments: dict[str, Any]) -> TypeError:
    named = ((name, framework(x)) for name, x in arguments.items())
    of = ", ".join(
        f"{name} of {one.name}" for name, one in named if one is not _NUMPY or _is_numpy(arguments[name])
    )
    return TypeError(f"arguments of two frameworks: {of}; convert one of them")


def with_function(function: str, **arguments: Any) -> Any:
    """Return the frontend of the arguments, which must have this function.

    Raises:
        TypeError: The frontend has no such function, or the arguments are arrays of two frameworks.
    """
    one = common(**arguments)
    frontend = one.frontend()
    if not hasattr(frontend, function):
        raise TypeError(f"{', '.join(arguments)} of {one.name}: {function} takes arrays of torch or jax")
    return frontend
