"""Fixtures: float64 enabled, fewer optimizations of XLA, and every public function of two matrices."""

import jax
import pytest
from jax_cases import FUNCTIONS


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="session")
def quick():
    """Disable most optimizations. They would take most of the time, and each program runs once."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)


@pytest.fixture(params=list(FUNCTIONS))
def function(request):
    return FUNCTIONS[request.param]


@pytest.fixture(params=["jit", "eager"])
def run(request):
    return jax.jit if request.param == "jit" else lambda f: f
