"""Whom the bench knows: a module per framework, whose libraries are imported in processes of their own."""

from cosgrad.bench.rivals import jax, numpy, tensorflow, torch
from cosgrad.bench.rivals.base import Functions, Library

__all__ = ["FRAMEWORKS", "LIBRARIES", "Functions", "Library"]

FRAMEWORKS = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow"}
"""The names of cosgrad's frontends, in the order of every table."""

LIBRARIES = {
    library.name: library for module in (numpy, torch, jax, tensorflow) for library in module.LIBRARIES
}
"""Everyone by name; in each framework cosgrad's frontend is the first."""
