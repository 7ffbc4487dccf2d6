"""The libraries of the benchmark, one module per framework. Each library is imported in its own process."""

from cosgrad.bench.rivals import jax, numpy, tensorflow, torch
from cosgrad.bench.rivals.base import Functions, Library

__all__ = ["FRAMEWORKS", "LIBRARIES", "Functions", "Library"]

FRAMEWORKS = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow"}
"""The names of cosgrad's frontends, in the order of every table."""

LIBRARIES = {
    library.name: library for module in (numpy, torch, jax, tensorflow) for library in module.LIBRARIES
}
"""All libraries by name. In each framework, cosgrad's frontend is the first."""
