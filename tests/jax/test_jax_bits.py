"""Tests that values and gradients have the bits of the NumPy frontend, in every dtype, shape and mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_cases import same

import cosgrad.jax as C
import cosgrad.numpy as N
from cosgrad.verify import inputs

SHAPES = [
    ((6, 17), (6, 17), -1),
    ((17, 6), (17, 6), 0),
    ((3, 17, 5), (3, 17, 5), 1),
    ((300, 40), (300, 40), 1),
    ((17,), (17,), 0),
    ((17,), (6, 17), -1),
    ((2, 1, 17), (5, 17), -1),
    ((2, 1, 17, 1), (3, 17, 4), 2),
    ((1, 17), (70, 17), 1),
    ((6, 1), (6, 17), 1),
    ((17,), (2, 3, 1), -1),
    ((1,), (5, 17), 0),
    ((), (4,), 0),
    ((), (), 0),
    ((), (2, 3), 1),
    ((0, 3), (1, 3), -1),
    ((1, 0), (4, 0), -1),
    ((4, 1), (4, 0), -1),
    ((0,), (0,), -1),
]


def numpys(x, y, g, axis, eps):
    """Return S, D and the gradients of both, computed by the NumPy frontend."""
    of_S = N.cosine_similarity_grad(x, y, g, axis=axis, eps=eps)
    of_D = N.cosine_similarity_grad(x, y, -g, axis=axis, eps=eps)
    S, D = (f(x, y, axis=axis, eps=eps) for f in (N.cosine_similarity, N.cosine_distance))
    return (S, of_S), (D, of_D)


def jaxs(axis, eps):
    def both(x, y, g):
        S, of_S = jax.vjp(lambda x, y: C.cosine_similarity(x, y, axis=axis, eps=eps), x, y)
        D, of_D = jax.vjp(lambda x, y: C.cosine_distance(x, y, axis=axis, eps=eps), x, y)
        return (S, of_S(g)), (D, of_D(g))

    return both


@pytest.fixture
def draw(rng, dtype):
    def drawn(*shape):
        return rng.standard_normal(shape).astype(dtype)

    return drawn


@pytest.mark.parametrize(("x", "y", "axis"), SHAPES, ids=str)
def test_shapes(x, y, axis, draw):
    x, y = draw(*x), draw(*y)
    g = draw(*N.cosine_similarity(x, y, axis=axis).shape)
    same(jax.jit(jaxs(axis, 0.0))(x, y, jnp.asarray(g)), numpys(x, y, g, axis, 0.0))


@pytest.mark.parametrize("eps", [1e-3, 3.0, 1e30, float("inf")])
def test_eps(eps, draw):
    x, y, g = draw(6, 17), draw(6, 17), draw(6)
    x[0], y[1] = 0, y[1] / 100
    same(jax.jit(jaxs(-1, eps))(x, y, jnp.asarray(g)), numpys(x, y, g, -1, eps))


def test_hard_inputs(dtype_name, dtype, seed, run):
    batch, _ = inputs.together(inputs.hard(seed, 17, dtype_name))
    x, y, g = (a.astype(dtype) for a in (batch.x, batch.y, batch.g))
    same(run(jaxs(-1, 0.0))(x, y, jnp.asarray(g)), numpys(x, y, g, -1, 0.0))
    J = run(lambda x, y, u, v: jax.jvp(C.cosine_similarity, (x, y), (u, v))[1])
    u, v = batch.u.astype(dtype), batch.v.astype(dtype)
    same(J(x, y, u, v), N.cosine_similarity_jvp(x, y, u, v))
    same(run(C.normalize)(x), N.normalize(x))


def test_rows_that_are_not_finite(draw, run):
    x, y, g = draw(6, 5), draw(6, 5), draw(6)
    x[0, 0], x[1, 1], y[2, 2], g[3], y[4], x[5] = np.nan, np.inf, -np.inf, np.inf, 0, 0
    y[5, 0] = np.nan
    same(run(jaxs(-1, 0.0))(x, y, jnp.asarray(g)), numpys(x, y, g, -1, 0.0))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_keepdims(axis, draw):
    x, y = draw(3, 4, 5), draw(3, 4, 5)
    same(
        C.cosine_similarity(x, y, axis=axis, keepdims=True),
        N.cosine_similarity(x, y, axis=axis, keepdims=True),
    )


@pytest.mark.parametrize(
    "smallest", [np.finfo(np.float32).smallest_subnormal, np.finfo(np.float64).smallest_subnormal]
)
def test_subnormal_inputs_are_not_flushed(smallest, run):
    x, y = np.array([[3, 4]] * 3) * smallest, np.array([[4, 3]] * 3) * smallest
    S = run(C.cosine_similarity)(x, y)
    same(S, N.cosine_similarity(x, y))
    np.testing.assert_allclose(S, 0.96, rtol=1e-7)


def test_without_float64(rng, run):
    x, y, g = rng.standard_normal((3, 6, 6))
    x32, y32, g32 = (a.astype(np.float32) for a in (x, y, g))
    with jax.enable_x64(False):
        got = run(jaxs(-1, 0.0))(x, y32, jnp.asarray(g[0]))
        second = jax.jit(jax.hessian(lambda x: C.cosine_distance_loss(x, y32)))(x)
    same(got, numpys(x32, y32, g32[0], -1, 0.0))
    with jax.enable_x64(True):
        true = jax.jit(jax.hessian(lambda x: C.cosine_distance_loss(x, y32.astype(np.float64))))(x)
    np.testing.assert_allclose(second, true, rtol=1e-4, atol=1e-6)


def test_memory_layouts_of_numpy_arrays(rng):
    x, y = rng.standard_normal((2, 7, 5))
    same(C.cosine_similarity(x.T, np.asfortranarray(y).T[::-1]), N.cosine_similarity(x.T, y.T[::-1]))
