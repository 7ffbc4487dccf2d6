"""Tests of error messages, and of arrays, numbers and modes that only JAX has."""

import functools
import importlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax import grad, hessian
from jax_cases import TARGET, WEIGHTS, close, matrices, same

import cosgrad
import cosgrad.jax as C
import cosgrad.numpy as N

V = np.ones(3)
M = np.ones((2, 3))
TAKES = "must be real, that is float16, bfloat16, float32 or float64, or integers, taken as floats"

REFUSED = {
    "list": (lambda: C.cosine_similarity([1.0], V), TypeError, "x is list, must be an array"),
    "none": (lambda: C.cosine_similarity(V, None), TypeError, "y is NoneType, must be an array"),
    "complex": (lambda: C.cosine_similarity(V, V + 1j), TypeError, f"y is of dtype complex128, {TAKES}"),
    "complex number": (lambda: C.cosine_similarity(1j, V), TypeError, f"x is of dtype complex128, {TAKES}"),
    "float8": (
        lambda: C.normalize(V.astype(ml_dtypes.float8_e4m3fn)),
        TypeError,
        f"x is of dtype float8_e4m3fn, {TAKES}",
    ),
    "keys": (lambda: C.normalize(jax.random.key(0)), TypeError, f"x is of dtype key<fry>, {TAKES}"),
    "objects": (lambda: C.normalize(V.astype(object)), TypeError, f"x is of dtype object, {TAKES}"),
    "text": (lambda: C.normalize(V.astype(str)), TypeError, f"x is of dtype <U32, {TAKES}"),
    "long double": (lambda: C.normalize(V.astype("g")), TypeError, f"x is of dtype {np.dtype('g')}, {TAKES}"),
    "shape": (
        lambda: C.cosine_similarity(V, M[:, :2]),
        ValueError,
        "x of shape (3,) and y of shape (2, 2) must broadcast to one shape",
    ),
    "axis": (
        lambda: C.cosine_distance(V, M, axis=2),
        ValueError,
        "axis=2 is out of range for arrays of rank 2",
    ),
    "axis of a scalar": (
        lambda: C.normalize(1.0, axis=1),
        ValueError,
        "axis=1 is out of range for arrays of rank 0",
    ),
    "kind of axis": (lambda: C.normalize(V, axis=0.0), TypeError, "axis=0.0 must be an integer"),
    "traced axis": (lambda: jax.jit(lambda a: C.normalize(V, axis=a))(0), TypeError, "must be an integer"),
    "eps": (lambda: C.normalize(V, eps=-1.0), ValueError, "eps=-1.0 must be at least 0"),
    "eps of NaN": (
        lambda: C.cosine_similarity(V, V, eps=float("nan")),
        ValueError,
        "eps=nan must be at least 0",
    ),
    "traced eps": (lambda: jax.jit(lambda e: C.normalize(V, eps=e))(1.0), TypeError, "must be a number"),
    "reduction": (
        lambda: C.cosine_distance_loss(V, V, reduction="max"),
        ValueError,
        "reduction='max' must be one of 'none', 'sum', 'mean', 'weighted_mean', 'nonzero_mean'",
    ),
    "labels": (lambda: C.cosine_distance_loss("a", V), TypeError, "labels is str, must be an array"),
    "predictions": (
        lambda: C.cosine_distance_loss(V, V[:2]),
        ValueError,
        "labels of shape (3,) and predictions of shape (2,) must broadcast to one shape",
    ),
    "weights": (
        lambda: C.cosine_distance_loss(M, M, weights=M),
        ValueError,
        "weights of shape (2, 3) must broadcast to the losses' shape (2,) without enlarging it",
    ),
    "kind of weights": (lambda: C.cosine_distance_loss(M, M, weights=[1]), TypeError, "weights is list"),
    "target": (
        lambda: C.cosine_embedding_loss(M, M, np.ones(3)),
        ValueError,
        "target of shape (3,) must broadcast to the losses' shape (2,) without enlarging it",
    ),
    "value of target": (
        lambda: C.cosine_embedding_loss(M, M, np.array([1, 0.5])),
        ValueError,
        "target holds 0.5, must hold only +1 and -1",
    ),
    "x1": (lambda: C.cosine_embedding_loss({}, M, 1), TypeError, "x1 is dict, must be an array"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_refused(name):
    call, error, words = REFUSED[name]
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", "bool", "int4"])
@pytest.mark.parametrize("x64", [True, False])
def test_integers_are_jaxs_default_float(dtype, x64):
    x = np.array([[1, 0, 1], [1, 1, 0]]).astype(ml_dtypes.int4 if dtype == "int4" else dtype)
    with jax.enable_x64(x64):
        got = C.cosine_similarity(x, x[::-1])
        mixed = C.cosine_similarity(jnp.ones(3, jnp.bfloat16), x.astype(np.int8))
    same(got, np.full(2, 0.5, np.float64 if x64 else np.float32))
    assert mixed.dtype == jnp.bfloat16


PROMOTED = [
    (np.float16, ml_dtypes.bfloat16, np.float32),
    (np.float16, np.float32, np.float32),
    (ml_dtypes.bfloat16, np.float64, np.float64),
    (np.int64, np.float16, np.float16),
]


@pytest.mark.parametrize(("a", "b", "result"), PROMOTED)
def test_promotion_is_jaxs(a, b, result):
    x, y = V.astype(a), V.astype(b)
    assert C.cosine_similarity(x, y).dtype == result
    gx = grad(C.cosine_similarity, allow_int=True)(x, y)
    assert gx.dtype == (jax.dtypes.float0 if a is np.int64 else a)


def test_numbers_promote_weakly():
    assert C.cosine_similarity(V.astype(np.float16), 2.0).dtype == np.float16
    same(C.cosine_similarity(2, -3.0), np.float64(-1))
    same(C.normalize(-2.5), np.float64(-1))
    weak = jnp.asarray(V) * 1
    assert grad(C.cosine_similarity)(weak, weak).dtype == np.float64
    assert grad(C.cosine_similarity)(2.0, 3.0) == 0


def test_integers_have_no_tangent():
    S, J = jax.jvp(lambda x: C.cosine_similarity(x, np.array([4, 3])), (np.array([3.0, 4.0]),), (np.ones(2),))
    close((S, J), (0.96, 0.0448 - 0.0336))


class Wrapped:
    """An object with `__jax_array__`, in which other libraries wrap arrays of JAX."""

    def __init__(self, a):
        self.a = a

    def __jax_array__(self):
        return self.a


def test_objects_that_are_arrays_to_jax():
    same(C.cosine_similarity(Wrapped(jnp.asarray(V)), V), N.cosine_similarity(V, V))


def test_static_arguments(rng):
    x, y = matrices(rng)
    expected = C.cosine_similarity(x, y, axis=0, eps=0.5)
    same(jax.jit(functools.partial(C.cosine_similarity, axis=0, eps=0.5))(x, y), expected)
    same(jax.jit(C.cosine_similarity, static_argnames=("axis", "eps"))(x, y, axis=0, eps=0.5), expected)
    same(C.cosine_similarity(x, y, axis=np.int64(0), eps=jnp.asarray(0.5)), expected)


def test_trees_of_arrays(rng):
    x, y = matrices(rng)
    loss = lambda p: C.cosine_distance_loss(p["a"] @ p["b"][0], y)  # noqa: E731
    g = grad(loss)({"a": x, "b": [jnp.eye(5)]})
    same(g["a"], grad(lambda a: loss({"a": a, "b": [jnp.eye(5)]}))(x))


EVERY_LOSS = {
    "mean": lambda x, y: C.cosine_distance_loss(x, y),
    "weighted": lambda x, y: C.cosine_distance_loss(
        x, y, weights=WEIGHTS.astype(x.dtype), reduction="weighted_mean"
    ),
    "unit": lambda x, y: C.cosine_distance_loss(x, y, weights=2.0, assume_normalized=True),
    "embedding": lambda x, y: C.cosine_embedding_loss(x, y, TARGET, margin=0.1),
    "normalize": lambda x, y: (C.normalize(x) * y).sum(),
}


@pytest.mark.parametrize("dtype_name", ["bfloat16", "float32", "float64"], indirect=True)
@pytest.mark.parametrize("name", list(EVERY_LOSS))
def test_strict_modes(name, dtype, rng):
    """Check that nothing promotes dtypes or ranks implicitly.

    No NaN occurs on the way to a finite result.
    """
    x, y = (jnp.asarray(a, dtype) for a in matrices(rng))
    x, f = x.at[0].set(0), jax.jit(EVERY_LOSS[name])
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"), jax.debug_nans(True):
        assert np.isfinite(jax.jit(hessian(f))(x, y)).all()
        C.cosine_similarity(np.arange(3), np.arange(3))


@pytest.mark.parametrize("run", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_debug_nans_says_where(run, rng):
    x, y = rng.standard_normal((2, 4, 5))
    x[0, 0] = np.nan
    x, y = jnp.asarray(x), jnp.asarray(y)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="cosgrad_cosine"):
        run(C.cosine_similarity)(x, y)


def test_leaked_tracers_are_found_to_be_none(rng):
    x, y = matrices(rng)
    with jax.checking_leaks():
        jax.jit(grad(C.cosine_distance_loss))(x, y)


def test_many_axes():
    x, y = np.arange(1.0, 3), np.array([2.0, 1])
    deep = (1,) * 63 + (2,)
    same(C.cosine_similarity(x.reshape(deep), y.reshape(deep)).ravel()[0], N.cosine_similarity(x, y))
    with pytest.raises(jax.errors.JaxRuntimeError, match="more than 64 axes are not supported"):
        jax.vmap(jax.vmap(lambda x: C.cosine_similarity(x.reshape(deep), y)))(np.ones((2, 3, 2)))


def test_the_top_level_finds_the_frontend(rng):
    x, y = matrices(rng)
    same(cosgrad.cosine_similarity(x, y), C.cosine_similarity(x, y))
    same(jax.jit(cosgrad.cosine_distance)(x, y), C.cosine_distance(x, y))


def test_importing_twice_or_before_the_devices_are_chosen():
    from cosgrad.jax import _native

    importlib.reload(_native)
    program = (
        "import cosgrad.jax, jax; jax.config.update('jax_num_cpu_devices', 3); assert jax.device_count() == 3"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
