"""Import a framework, or raise an error that says how to install it."""

import importlib
import re
from types import ModuleType

_NAMES = {"jax": "JAX", "keras": "Keras", "tensorflow": "TensorFlow", "torch": "PyTorch"}


def require(module: str, extra: str, at_least: str | None = None, *, user: str | None = None) -> ModuleType:
    """Import and return the framework that `cosgrad.<module>`, or another module, needs.

    Args:
        module: The framework's name as it is imported.
        extra: The extra of this package that installs it.
        at_least: The oldest supported version, such as "2.16".
        user: The module that needs the framework, if it is not `cosgrad.<module>`.

    Raises:
        ImportError: The framework is not installed, or too old.

    Example:
        >>> require("sqlite3", "numpy").__name__
        'sqlite3'
        >>> require("no_such_framework", "all")
        Traceback (most recent call last):
            ...
        ImportError: cosgrad.no_such_framework needs no_such_framework, which is not installed: \
pip install "cosgrad[all]"
    """
    name = _NAMES.get(module, module)
    user = user or f"cosgrad.{module}"
    install = f'pip install "cosgrad[{extra}]"'
    try:
        framework = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise  # the framework is installed, but one of its own dependencies is not
        raise ImportError(f"{user} needs {name}, which is not installed: {install}") from None
    version = getattr(framework, "__version__", "")
    if at_least is not None and _numbers(version) < _numbers(at_least):
        raise ImportError(f"{user} needs {name} {at_least} or newer, and {version} is installed: {install}")
    return framework


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:2])
